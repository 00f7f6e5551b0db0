"""Checks of where a PostgreSQL server's log goes: without its archive no moment can be recovered."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tradebook.operations.doctor.checks import CheckTarget, Finding, green, red, unknown, yellow
from tradebook.operations.security.privileges import displaced_owner
from tradebook.operations.server.wal import Slot, read_archive, read_slots

_SWITCH_ON: Final = "`tradebook backup archive --store ... --apply`, then start the server again"
_MUCH: Final = 2**30
"""Bytes of the log that a slot in use may keep."""


def archive(patient: CheckTarget) -> Iterator[Finding]:
    """Whether the server's log is archived, and the last try went well."""
    found = read_archive(patient.connection)
    if found.mode == "off":
        what = "archive_mode is off: a restored backup ends where the backup was made"
        yield yellow("archive", what, _SWITCH_ON)
    elif not found.is_on:
        yield green("archive", "none, and none needed: the primary of this standby archives")
    elif not found.has_command:
        what = "archive_mode is on without an archive_command: the log grows until the disk is full"
        yield red("archive", what, _SWITCH_ON)
    elif found.failing:
        what = f"{found.failing} could not be archived; the log grows until the disk is full"
        yield red("archive", what, "the server's log has what its archive_command said; mend that")
    else:
        yield green("archive", "the last file of the log that was finished is archived")


def slots(patient: CheckTarget) -> Iterator[Finding]:
    """Whether the server keeps its log for somebody who does not come to get it."""
    found = read_slots(patient.connection)
    bad = [slot for slot in found if not slot.active or slot.retained_bytes > _MUCH]
    for slot in bad:
        yield yellow("slots", *_about(slot))
    if not bad:
        yield green("slots", f"{len(found)}, all in use" if found else "none")


def _about(slot: Slot) -> tuple[str, str]:
    kept = f"{slot.retained_bytes / 2**20:,.0f} MiB of the log are kept for it"
    if slot.active:
        return f"{slot.name} is far behind: {kept}", "look at the disk and network of who receives"
    drop = f"SELECT pg_drop_replication_slot('{slot.name}')"
    return f"nobody uses {slot.name}; {kept}", f"start who receives through it, or {drop}"


_OLDEST: Final = 150_000
_LEAST_FREE: Final = 0.05
_LITTLE_FREE: Final = 0.15
_HARMFUL: Final = {
    "fsync": "a crash of the machine can damage the whole database",
    "full_page_writes": "a crash of the machine can damage the whole database",
    "synchronous_commit": "a trade that was acknowledged can be lost",
}

# Without the tables nobody can tell; then it is taken for a role that books.
_BOOKS: Final = "SELECT coalesce(has_table_privilege(to_regclass('trades'), 'INSERT'), true)"


def encryption(patient: CheckTarget) -> Iterator[Finding]:
    """Whether what goes over the network can be read there."""
    tls = patient.row("SELECT ssl, version, cipher FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    mode = patient.config.sslmode
    if tls.ssl and mode == "verify-full":
        yield green("TLS", f"{tls.version}, the server's name and certificate are verified")
    elif tls.ssl:
        what = f"{tls.version}, but with sslmode={mode or 'prefer'} anybody can pose as the server"
        yield yellow("TLS", what, "set sslmode=verify-full and sslrootcert: docs/security.md")
    elif patient.is_local:
        yield green("TLS", "none, and none needed: the server is on this machine")
    else:
        fix = "switch on TLS on the server, and set sslmode=verify-full: docs/security.md"
        yield red("TLS", "none: passwords and trades cross the network readable", fix)


def version(patient: CheckTarget) -> Iterator[Finding]:
    """Whether the server is one that tradebook knows."""
    number = int(patient.value("SHOW server_version_num"))
    shown = f"PostgreSQL {patient.value('SHOW server_version')}"
    if number < _OLDEST:
        yield red("version", f"{shown} is too old", "upgrade the server to PostgreSQL 15 or newer")
    else:
        yield green("version", shown)


def roles(patient: CheckTarget) -> Iterator[Finding]:
    """Whether the role that connects may do more than an application has to."""
    may = patient.row(
        "SELECT current_user AS name, rolsuper OR rolcreaterole AS rules, "
        "(SELECT bool_or(pg_has_role(tableowner, 'USAGE')) FROM pg_tables "
        "WHERE schemaname = current_schema() AND tablename = 'trades') AS owns, "
        "has_table_privilege('events', 'DELETE') AS deletes "
        "FROM pg_roles WHERE rolname = current_user"
    )
    fix = "make roles with `tradebook db roles`, and let applications connect as the writer"
    if may.rules:
        yield yellow("roles", f"{may.name} is an administrator of the server", fix)
    elif may.owns:
        yield yellow("roles", f"{may.name} owns the tables, and can change or drop them", fix)
    elif may.deletes:
        yield yellow("roles", f"{may.name} may remove events from the audit trail", fix)
    else:
        yield green("roles", f"{may.name} may do what it needs, and no more")


def ownership(patient: CheckTarget) -> Iterator[Finding]:
    """Whether the owner that `tradebook db roles` made lost the tables, as it does in a restore."""
    owner = displaced_owner(patient.connection)
    if owner is not None:
        prefix = owner.removesuffix("_owner")
        yield yellow(
            "ownership",
            f"{owner} does not own the book's tables, so it cannot migrate them",
            f"run `tradebook db roles --prefix {prefix}` as who owns them now, or a superuser",
        )


def isolation(patient: CheckTarget) -> Iterator[Finding]:
    """Whether transactions begin as the book expects, and may write."""
    default = patient.settings("default_transaction_isolation", "default_transaction_read_only")
    level = default["default_transaction_isolation"]
    if level == "read committed":
        yield green("isolation", level)
    else:
        what = f"{level} by default: more conflicts, and more units of work done again"
        fix = "ALTER ROLE ... SET default_transaction_isolation = 'read committed'"
        yield yellow("isolation", what, fix)
    if patient.value("SELECT pg_is_in_recovery()"):
        what = "a standby, which takes no writes"
        yield yellow("writes", what, "connect to the primary, or use this as the read URL")
    elif default["default_transaction_read_only"] == "on" and not patient.value(_BOOKS):
        yield green("writes", "read-only by default, for a role that may only read")
    elif default["default_transaction_read_only"] == "on":
        fix = "ALTER ROLE ... RESET default_transaction_read_only, unless it only reads"
        yield yellow("writes", "read-only by default", fix)


def durability(patient: CheckTarget) -> Iterator[Finding]:
    """Whether acknowledged means on disk."""
    settings = patient.settings(*_HARMFUL, "data_checksums")
    for name, harm in _HARMFUL.items():
        if settings[name] == "off":
            fix = f"set {name} = on in postgresql.conf, and for every role and database"
            yield red(name, f"off: {harm}", fix)
        else:
            yield green(name, settings[name])
    if settings["data_checksums"] == "off":
        fix = "stop the server and run pg_checksums --enable"
        yield yellow("data_checksums", "off: a damaged page is not noticed", fix)


def connections(patient: CheckTarget) -> Iterator[Finding]:
    """Whether the server has as many connections as the pool may want."""
    limits = patient.settings(
        "max_connections", "superuser_reserved_connections", "reserved_connections"
    )
    most = int(limits.pop("max_connections"))
    free = most - sum(map(int, limits.values()))
    used = patient.value(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    pool = patient.config.pool_size + patient.config.max_overflow
    what = f"{used} of {most} in use; this pool may take {pool}"
    if pool > free:
        fix = f"lower pool_size + max_overflow to at most {free}, or raise max_connections"
        yield red("connections", f"{what}, and no more than {free} can be had", fix)
    elif used + pool > free:
        fix = "lower pool_size or max_overflow, raise max_connections, or put a pooler between"
        yield yellow("connections", f"{what}: not all would get one now", fix)
    else:
        yield green("connections", f"{what}: {free // pool} processes with such a pool fit")


def disk(patient: CheckTarget) -> Iterator[Finding]:
    """Whether there is room for more."""
    folder = patient.settings("data_directory").get("data_directory")
    if folder is None or not patient.is_local or not Path(folder).exists():
        what = "the server's disk cannot be seen from here"
        yield unknown("free disk", what, "let the server's own monitoring watch it")
    else:
        yield room_on_disk(Path(folder))


def room_on_disk(folder: Path) -> Finding:
    """How full the disk of a folder is."""
    usage = shutil.disk_usage(folder)
    what = f"{usage.free / 2**30:,.1f} GiB free of {usage.total / 2**30:,.1f}"
    fix = "make room, or move to a larger disk, before writes are refused"
    if usage.free < usage.total * _LEAST_FREE:
        return red("free disk", what, fix)
    if usage.free < usage.total * _LITTLE_FREE:
        return yellow("free disk", what, fix)
    return green("free disk", what)
