"""Whether row security lets a role see an account; what it hides looks like an empty book."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, text

from tradebook.domain.errors import NotPermitted

_IS_SECURED: Final = (
    "SELECT row_security_active('trades') AND EXISTS (SELECT FROM pg_class "
    "JOIN pg_namespace ON pg_namespace.oid = relnamespace "
    "WHERE nspname = 'tradebook_security' AND relname = 'account_access')"
)
_SEES: Final = """
SELECT session_user, EXISTS (
    SELECT FROM tradebook_security.account_access
    WHERE role = session_user AND (account IS NULL OR CAST(:account AS text) IN ('*', account))
) OR EXISTS (
    SELECT FROM pg_policy, unnest(polroles) AS wide (role)
    WHERE polrelid = to_regclass('trades') AND polname = 'every_account'
    AND pg_has_role(current_user, wide.role, 'USAGE')
)
"""
"""`*` stands for any account at all."""


def require_visible(connection: Connection, account: str = "*") -> None:
    """Ask PostgreSQL whether the rows of an account are shown to who is connected.

    Args:
        connection: to the database.
        account: which; any that it is bound to by default.

    Raises:
        NotPermitted: row security hides them.
    """
    if connection.dialect.name != "postgresql":
        return
    if not connection.exec_driver_sql(_IS_SECURED).scalar_one():
        return
    role, sees = connection.execute(text(_SEES), {"account": account}).one()
    if not sees:
        whose = "any account" if account == "*" else f"account {account!r}"
        bound = "ACCOUNT" if account == "*" else account
        raise NotPermitted(
            f"row security: the role {role} does not see {whose}, so nothing can be said of it; connect "
            f"as the auditor, or bind it: `tradebook db roles --bind {role}={bound}`"
        )
