"""`seal_witness`: what is accepted, and what a refusal says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from tradebook import DatabaseConfig, DatabaseEnvironment, InvalidInput
from tradebook.config.witnesses import FILE, GIT, OBJECTS, TIMESTAMPS, witness_url

TSA = "rfc3161+https://ann:secret@tsa.example.com/tsr?ca=/ca.pem&folder=tokens&key=secret"


@pytest.mark.parametrize(
    ("setting", "kind", "place"),
    [
        ("/mnt/seals.jsonl", FILE, "/mnt/seals.jsonl"),
        ("./seals?book=b", FILE, "./seals"),
        ("seals.jsonl", FILE, "seals.jsonl"),
        ("file:///mnt/a%20b", FILE, "/mnt/a b"),
        ("s3://bucket/prefix", OBJECTS, "s3://bucket/prefix"),
        ("memory://x?book=b", OBJECTS, "memory://x"),
        ("git:///srv/seals.git?branch=b", GIT, "/srv/seals.git"),
        (TSA, TIMESTAMPS, "https://ann:secret@tsa.example.com/tsr?key=secret"),
    ],
)
def test_each_kind_has_its_form(setting: str, kind: str, place: str) -> None:
    url = witness_url(setting)
    assert (url.kind, str(url.place)) == (kind, place)
    assert url.book == ("b" if "book=" in setting else "book")


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("yes", "the path of a file such as"),
        (5, "the path of a file such as"),
        ("simplecache::s3://bucket/x", "the path of a file such as"),
        ([None], "the path of a file such as"),
        ("a\0.jsonl", "the path of a file such as"),
        ("git://host/seals.git", "three slashes before the path of a repository"),
        ("file://seals", "three slashes before the path of a file"),
        ("/mnt/seals?boook=x", "no parameter 'boook'; there are: book"),
        ("/mnt/seals?book=../x", "book=NAME of letters"),
        ("rfc3161+http://tsa/?folder=x", "the parameter ca too"),
        ("rfc3161+http://tsa/?ca=x", "the parameter folder too"),
        ("s3://ann:secret@bucket?x=1", "no parameter 'x'"),
    ],
)
def test_anything_else_is_refused_with_what_is_accepted(setting: Any, said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as refused:
        DatabaseConfig(seal_witness=setting)
    assert refused.value.field == "seal_witness"
    assert "secret" not in str(refused.value)


def test_several_come_in_a_list_or_with_commas(tmp_path: Path) -> None:
    config = DatabaseConfig(seal_witness=[tmp_path / "a,b.jsonl", "s3://bucket"])
    assert [str(each) for each in config.seal_witness] == [f"{tmp_path}/a,b.jsonl", "s3://bucket"]
    assert evolve(config, path="x.db").seal_witness == config.seal_witness
    assert len(DatabaseConfig(seal_witness="a.jsonl, b.jsonl,").seal_witness) == 2
    assert DatabaseConfig(seal_witness=None).seal_witness == ()


def test_it_comes_from_a_variable_or_a_url_and_shows_no_password() -> None:
    environment = DatabaseEnvironment(environ={"TRADEBOOK_SEAL_WITNESS": f"a.jsonl,{TSA}"})
    [shown] = [each for each in environment.explained() if each.field == "seal_witness"]
    masked = "rfc3161+https://ann:***@tsa.example.com/tsr?ca=/ca.pem&folder=tokens&key=***"
    assert (shown.value, shown.source) == (f"a.jsonl, {masked}", "TRADEBOOK_SEAL_WITNESS")
    assert "secret" not in repr(environment.current)
    for given in ({"TRADEBOOK_ENV": "testing"}, {"TRADEBOOK_DB_PATH": ":memory:"}):
        tests = DatabaseEnvironment(environ={"TRADEBOOK_SEAL_WITNESS": "a.jsonl", **given})
        assert tests.current.seal_witness == ()  # their seals would be taken for the book's
    url = DatabaseConfig.from_url("postgresql://host/book?seal_witness=/mnt/a.jsonl")
    assert (url.seal_witness, "seal_witness" in url.url) == (("/mnt/a.jsonl",), False)
