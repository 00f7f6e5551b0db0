"""Whether the role that was made to own the book's tables still does: a restore takes them from it."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, text

_DISOWNED: Final = """
SELECT owner.rolname
FROM pg_class AS book, pg_roles AS owner, pg_roles AS writer
WHERE book.oid = to_regclass('trades') AND owner.rolname <> pg_get_userbyid(book.relowner)
AND owner.rolname LIKE '%\\_owner'
AND writer.rolname = regexp_replace(owner.rolname, '_owner$', '_writer')
AND (
    EXISTS (SELECT FROM aclexplode(book.relacl) AS granted WHERE granted.grantee = writer.oid)
    OR EXISTS (
        SELECT FROM pg_database, aclexplode(datacl) AS granted
        WHERE datname = current_database() AND granted.grantee = owner.oid
    )
)
ORDER BY 1 LIMIT 1
"""
"""A restore leaves the tables to whoever restores, and the grants with the roles."""


def disowned(connection: Connection) -> str | None:
    """The role that was made to own the book's tables, but does not; None where all is as it was made."""
    owner: str | None = connection.scalar(text(_DISOWNED))
    return owner
