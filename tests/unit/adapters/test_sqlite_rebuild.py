"""The DDL of a SQLite table, with a CHECK more or less."""

from __future__ import annotations

import pytest

from tradebook.adapters.migrations.sqlite_rebuild import with_constraint, without_check

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
