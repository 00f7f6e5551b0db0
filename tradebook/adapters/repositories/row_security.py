"""The check that row-level security shows an account to a role; hidden rows look like an empty book."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, text

from tradebook.domain.errors import NotPermitted

ANY: Final = "*"
"""Stands for any account that the role is bound to."""

_IS_SECURED: Final = (
    "SELECT row_security_active('trades') AND EXISTS (SELECT FROM pg_class "
    "JOIN pg_namespace ON pg_namespace.oid = relnamespace "
    "WHERE nspname = 'tradebook_security' AND relname = 'account_access')"
)
_IS_VISIBLE: Final = """
SELECT session_user, EXISTS (
    SELECT FROM tradebook_security.account_access
    WHERE role = session_user AND (account IS NULL OR CAST(:account AS text) IN ('*', account))
) OR EXISTS (
    SELECT FROM pg_policy, unnest(polroles) AS wide (role)
    WHERE polrelid = to_regclass('trades') AND polname = 'every_account'
    AND pg_has_role(current_user, wide.role, 'USAGE')
)
"""


def require_visible(connection: Connection, account: str = ANY) -> None:
    """Require that row-level security hides no rows of an account from the connected role.

    Args:
        connection: one to the database; on SQLite every row is visible.
        account: the account, or `ANY`.

    Raises:
        NotPermitted: row-level security hides them.
    """
    if connection.dialect.name != "postgresql":
        return
    if not connection.exec_driver_sql(_IS_SECURED).scalar_one():
        return
    role, is_visible = connection.execute(text(_IS_VISIBLE), {"account": account}).one()
    if not is_visible:
        hidden = "every account" if account == ANY else f"account {account!r}"
        bound = "ACCOUNT" if account == ANY else account
        raise NotPermitted(
            f"row-level security hides {hidden} from the role {role}, so its book would read as empty; "
            f"connect as the auditor, or bind the role: `tradebook db roles --bind {role}={bound}`"
        )
