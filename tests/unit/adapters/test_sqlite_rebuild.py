"""The DDL of a SQLite table, with a CHECK more or less."""

from __future__ import annotations

import pytest

from tradebook.adapters.migrations.sqlite_rebuild import (
    with_constraint,
    with_nullable,
    without_check,
    without_nullable,
)

CHECK = "CONSTRAINT ck_t_x CHECK ((x = 'a)') = (y IS NOT NULL))"
PLAIN = "CREATE TABLE t (\n\tx TEXT, \n\ty BIGINT, \n\tCONSTRAINT ck_t_y CHECK (y > (0))\n)"


def test_a_constraint_is_added_as_the_last_and_taken_out_again() -> None:
    more = with_constraint(PLAIN, "CONSTRAINT ck_t_z CHECK (x <> (''))")
    assert more.endswith("CHECK (y > (0)), \n\tCONSTRAINT ck_t_z CHECK (x <> (''))\n)")
    assert without_check(more, "ck_t_z") == PLAIN


@pytest.mark.parametrize(
    "ddl",
    [
        "CREATE TABLE t (\n\tx TEXT, \n\ty BIGINT {}, \n\tCONSTRAINT ck_t_y CHECK (y > (0))\n)",
        "CREATE TABLE t (\n\tx TEXT, \n\ty BIGINT, \n\t{}, \n\tCONSTRAINT ck_t_y CHECK (y > (0))\n)",
        "CREATE TABLE t (\n\tx TEXT, \n\ty BIGINT, \n\tCONSTRAINT ck_t_y CHECK (y > (0)), {}\n)",
    ],
)
def test_a_check_is_taken_out_of_a_column_and_of_a_table(ddl: str) -> None:
    assert without_check(ddl.format(CHECK), "ck_t_x") == PLAIN
    quoted = CHECK.replace("ck_t_x", '"ck_t_x"')
    assert without_check(ddl.format(quoted), "ck_t_x") == PLAIN


def test_what_has_no_such_check_stays() -> None:
    assert without_check(PLAIN, "ck_t") == PLAIN


@pytest.mark.parametrize("name", ["x", '"x"'])
def test_a_column_takes_nulls_and_takes_none_again(name: str) -> None:
    strict = (
        f"CREATE TABLE t (\n\tax TEXT NOT NULL, \n\t{name} TEXT NOT NULL, \n\txy TEXT NOT NULL\n)"
    )
    nullable = with_nullable(strict, "x")
    assert nullable == strict.replace(f"{name} TEXT NOT NULL, \n\txy", f"{name} TEXT, \n\txy")
    assert with_nullable(nullable, "x") == nullable
    assert without_nullable(nullable, "x") == strict
    assert without_nullable(strict, "x") == strict
