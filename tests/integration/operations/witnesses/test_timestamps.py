"""A timestamp service as a witness: tokens are signed, and checked each time against the authority."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rfc3161_client import decode_timestamp_response

from tests.integration.operations.witnesses.conftest import config_of
from tests.support.timestamp_service import TimestampService
from tradebook import DatabaseManager, WitnessFailed


def tokens_in(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.tsr"))


def test_a_token_is_over_the_last_seal_and_has_its_time(
    sealed_file: str, tokens: str, tmp_path: Path
) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    with DatabaseManager(config_of(sealed_file, tokens)) as book:
        sealed = book.seal()
    [token] = tokens_in(tmp_path / "tokens")
    assert sealed.last is not None
    assert token.name == f"{5:010}-{sealed.last.seal_hash}.tsr"
    [state] = sealed.witnesses
    assert before <= state.at <= datetime.now(UTC)
    assert decode_timestamp_response(token.read_bytes()).tst_info.gen_time == state.at


def test_a_token_that_is_not_valid_is_named_with_the_reason(
    sealed_file: str, tokens: str, tmp_path: Path, timestamp_service: TimestampService
) -> None:
    with DatabaseManager(config_of(sealed_file, tokens)) as book:
        book.seal()
        [token] = tokens_in(tmp_path / "tokens")
        good, ca = token.read_bytes(), (tmp_path / "ca.pem").read_bytes()

        def finding() -> str:
            [found] = book.check_seals().findings
            assert (found.entity, found.what) == ("Witness", "changed")
            assert token.name in found.detail
            return found.detail

        token.write_bytes(good[:-20] + bytes([good[-20] ^ 1]) + good[-19:])
        assert "signature" in finding()
        token.write_bytes(b"no token")
        finding()
        token.write_bytes(good)
        TimestampService("another authority").write_authority(tmp_path / "ca.pem")
        assert "unable to get local issuer certificate" in finding()
        (tmp_path / "ca.pem").write_bytes(ca)
        assert book.check_seals().sound
        moved = token.rename(token.with_name(f"{5:010}-{'a' * 64}.tsr"))
        token = moved
        assert "Mismatch between messages" in finding()


def test_an_answer_that_is_no_valid_token_is_not_kept(
    sealed_file: str, tokens: str, tmp_path: Path, timestamp_service: TimestampService,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    other = TimestampService("another authority")
    with DatabaseManager(config_of(sealed_file, tokens)) as book:
        for answer in (b"", b"<html>", other.respond):
            name, value = ("respond", answer) if callable(answer) else ("answer", answer)
            with monkeypatch.context() as answering:
                answering.setattr(timestamp_service, name, value)
                with pytest.raises(WitnessFailed, match="stays sealed"):
                    book.seal()
        assert tokens_in(tmp_path / "tokens") == []
        assert book.seal().witnesses[0].seals == 5


def test_a_seal_that_is_dated_after_its_token_is_reported(
    sealed_file: str, tokens: str, timestamp_service: TimestampService,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    with DatabaseManager(config_of(sealed_file, tokens)) as book:
        with monkeypatch.context() as late:
            late.setattr(timestamp_service, "behind", timedelta(hours=23))
            book.seal()
        assert book.check_seals().sound
        book.raise_alert("a", "INFO")
        with monkeypatch.context() as late:
            late.setattr(timestamp_service, "behind", timedelta(hours=25))
            book.seal()
        [found] = book.check_seals().findings
    assert (found.entity, found.key, found.what) == ("Seal", "6", "changed")
    assert "signed it at" in found.detail


def test_a_password_goes_into_a_header_and_shows_in_no_message(
    sealed_file: str, tokens: str, timestamp_service: TimestampService, tmp_path: Path
) -> None:
    setting = tokens.replace("//", "//ann:secret@", 1)
    with DatabaseManager(config_of(sealed_file, setting)) as book:
        assert "secret" not in repr(book.seal())
    assert timestamp_service.requests[-1]["Authorization"] == "Basic YW5uOnNlY3JldA=="
    (tmp_path / "ca.pem").unlink()
    with DatabaseManager(config_of(sealed_file, setting)) as book:
        [state] = book.check_seals().witnesses
        assert "secret" not in state.error
        assert "ca.pem" in state.error
