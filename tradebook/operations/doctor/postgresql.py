"""Checks of a PostgreSQL server: connection, settings, roles and disk; and of its write-ahead log's archive."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from attrs import evolve

from tradebook.adapters.engine.poolers import POOLED
from tradebook.domain.errors import InvalidInput
from tradebook.operations.backup.store import Store
from tradebook.operations.backup.wal_archive import folder_in
from tradebook.operations.backup.wal_survey import QUICK_BYTES, survey_log
from tradebook.operations.doctor import checks
from tradebook.operations.doctor.checks import CheckTarget, Finding, Level, green, red, yellow
from tradebook.operations.security.catalogue import role_state
from tradebook.operations.security.privileges import displaced_owner, prefix_of_roles
from tradebook.operations.security.role_state import RoleSpec, with_existing_logins
from tradebook.operations.security.roles import plan
from tradebook.operations.security.user_objects import remains
from tradebook.operations.server.wal import read_archive, read_slots

_OLDEST: Final = 150_000
_MUCH_RETAINED: Final = 2**30
"""Bytes of the log that may be kept for a slot in use."""
_SWITCH_ON: Final = "`tradebook backup archive --store ... --apply`, then start the server again"
_DURABILITY: Final = {
    "fsync": "a crash of the machine can damage the whole database",
    "full_page_writes": "a crash of the machine can damage the whole database",
    "synchronous_commit": "a trade that was acknowledged can be lost",
}
"""Settings that must be on, and what is at risk otherwise."""
# Where there are no tables, the role is taken for one that books.
_MAY_BOOK: Final = "SELECT coalesce(has_table_privilege(to_regclass('trades'), 'INSERT'), true)"


def encryption(target: CheckTarget) -> Iterator[Finding]:
    """Check that the connection is encrypted, and that the server's certificate is verified."""
    tls = target.row("SELECT ssl, version, cipher FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    mode = target.config.sslmode
    if tls.ssl and mode == "verify-full":
        yield green("TLS", f"{tls.version}, the server's name and certificate are verified")
    elif tls.ssl:
        what = (
            f"{tls.version}, but with sslmode={mode or 'prefer'} any machine can pose as the server"
        )
        yield yellow("TLS", what, "set sslmode=verify-full and sslrootcert: docs/security.md")
    elif target.is_local:
        yield green("TLS", "none, and none needed: the server is on this machine")
    else:
        fix = "switch on TLS on the server, and set sslmode=verify-full: docs/security.md"
        yield red("TLS", "none: passwords and trades cross the network readable", fix)


def version(target: CheckTarget) -> Iterator[Finding]:
    """Check that the server is PostgreSQL 15 or newer."""
    number = int(target.value("SHOW server_version_num"))
    shown = f"PostgreSQL {target.value('SHOW server_version')}"
    if number < _OLDEST:
        yield red("version", f"{shown} is too old", "upgrade the server to PostgreSQL 15 or newer")
    else:
        yield green("version", shown)


def roles(target: CheckTarget) -> Iterator[Finding]:
    """Check that the role has no more rights than an application needs."""
    role = target.row(
        "SELECT current_user AS name, rolsuper OR rolcreaterole AS administers, "
        "(SELECT bool_or(pg_has_role(tableowner, 'USAGE')) FROM pg_tables "
        "WHERE schemaname = current_schema() AND tablename = 'trades') AS owns, "
        "has_table_privilege('events', 'DELETE') AS deletes "
        "FROM pg_roles WHERE rolname = current_user"
    )
    fix = "make roles with `tradebook db roles`, and connect applications as the writer"
    if role.administers:
        yield yellow("roles", f"{role.name} is an administrator of the server", fix)
    elif role.owns:
        yield yellow("roles", f"{role.name} owns the tables, and can change or drop them", fix)
    elif role.deletes:
        yield yellow("roles", f"{role.name} may remove events from the audit trail", fix)
    else:
        yield green("roles", f"{role.name} may do what it needs, and no more")


def ownership(target: CheckTarget) -> Iterator[Finding]:
    """Check that the owner made by `tradebook db roles` owns the tables, which a restore changes."""
    owner = displaced_owner(target.connection)
    if owner is not None:
        what = f"{owner} does not own the book's tables, so it cannot migrate them"
        command = f"tradebook db roles --prefix {owner.removesuffix('_owner')}"
        fix = f"run `{command}` as the role that owns them now, or as a superuser"
        yield yellow("ownership", what, fix)


def privileges(target: CheckTarget) -> Iterator[Finding]:
    """Check that the roles made by `tradebook db roles` have the privileges and the guards that it gives them."""
    prefix = prefix_of_roles(target.connection)
    if prefix is None:
        return
    fix = f"run `tradebook db roles --prefix {prefix}` as a superuser; --dry-run shows what it does"
    # A superuser runs the command, whichever role runs this check.
    state = evolve(role_state(target.connection), is_superuser=True)
    try:
        spec = with_existing_logins(RoleSpec(prefix), state)
        steps = plan(spec, state)
    except InvalidInput as error:
        yield red("privileges", str(error), "take the attribute or the membership back")
        return
    for step in steps:
        level = red if step.takes_back else yellow
        yield level("privileges", f"{step.why}: {step.shown}", fix)
    left = remains(spec, state)
    for thing in left:
        yield red("privileges", thing.what, thing.fix)
    if not (steps or left):
        yield green("privileges", f"as `tradebook db roles --prefix {prefix}` gives them")


def isolation(target: CheckTarget) -> Iterator[Finding]:
    """Check that transactions begin at READ COMMITTED, and may write."""
    default = target.settings("default_transaction_isolation", "default_transaction_read_only")
    level = default["default_transaction_isolation"]
    if level == "read committed":
        yield green("isolation", level)
    else:
        what = f"{level} by default: more conflicts, and more units of work done again"
        fix = "ALTER ROLE ... SET default_transaction_isolation = 'read committed'"
        yield yellow("isolation", what, fix)
    if target.value("SELECT pg_is_in_recovery()"):
        what = "a standby, which takes no writes"
        yield yellow("writes", what, "connect to the primary, or use this as the read URL")
    elif default["default_transaction_read_only"] == "on":
        if target.value(_MAY_BOOK):
            fix = "ALTER ROLE ... RESET default_transaction_read_only, unless it only reads"
            yield yellow("writes", "read-only by default", fix)
        else:
            yield green("writes", "read-only by default, for a role that may only read")


def durability(target: CheckTarget) -> Iterator[Finding]:
    """Check that a commit is on disk when it is acknowledged, and that damage is noticed."""
    settings = target.settings(*_DURABILITY, "data_checksums")
    for name, risk in _DURABILITY.items():
        if settings[name] == "off":
            fix = f"set {name} = on in postgresql.conf, and for every role and database"
            yield red(name, f"off: {risk}", fix)
        else:
            yield green(name, settings[name])
    if settings["data_checksums"] == "off":
        fix = "stop the server and run pg_checksums --enable"
        yield yellow("data_checksums", "off: a damaged page is not noticed", fix)


def connections(target: CheckTarget) -> Iterator[Finding]:
    """Check that the server has as many connections as the pool may open."""
    limits = target.settings(
        "max_connections", "superuser_reserved_connections", "reserved_connections"
    )
    most = int(limits.pop("max_connections"))
    free = most - sum(map(int, limits.values()))
    used = target.value(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    pool, processes = (
        target.config.pool_size + target.config.max_overflow,
        target.config.processes,
    )
    of_all = pool * processes
    whose = "this pool" if processes == 1 else f"{processes} processes with such a pool"
    what = f"{used} of {most} in use; {whose} may take {of_all}"
    if POOLED in target.connection.info:
        what = (
            f"{what} of the pooler's clients: its max_client_conn must allow as many, and the sizes of its "
            f"pools together no more than {free} of the server's connections"
        )
        yield green("connections", what)
    elif of_all > free:
        fix = (
            f"lower pool_size + max_overflow to at most {free // processes}, raise max_connections, or put a "
            "pooler between: docs/operations.md"
        )
        yield red("connections", f"{what}, and no more than {free} can be had", fix)
    elif used + of_all > free:
        fix = "lower pool_size or max_overflow, raise max_connections, or put a pooler between"
        yield yellow("connections", f"{what}: not all would get one now", fix)
    else:
        yield green("connections", f"{what}: {free // pool} processes with such a pool fit")


def disk(target: CheckTarget) -> Iterator[Finding]:
    """Check how much room is left on the server's disk, where it is on this machine."""
    folder = target.settings("data_directory").get("data_directory")
    if folder is None or not target.is_local or not Path(folder).exists():
        what = "the server's disk cannot be checked from here"
        yield Finding("free disk", Level.UNKNOWN, what, "monitor it on the server")
    else:
        yield checks.free_disk(Path(folder))


def archive(target: CheckTarget) -> Iterator[Finding]:
    """Check that the server's log is archived, without which no moment can be recovered."""
    found = read_archive(target.connection)
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
        yield red("archive", what, "mend the reason: the server's log has archive_command's output")
    else:
        yield green("archive", "the last file of the log that was finished is archived")


def archived_log(target: CheckTarget) -> Iterator[Finding]:
    """Check that no segment of the archived log is missing or altered, where the archive is on this machine."""
    folder = folder_in(target.settings("archive_command").get("archive_command", ""))
    if folder is None:
        return
    check = "archived log"
    survey = survey_log([folder, Store(folder.parent).stream], limit=QUICK_BYTES)
    if survey.closed or not (target.is_local and folder.is_dir()):
        what = f"{folder} cannot be read from here"
        fix = "run `tradebook backup list` where it is, as its user"
        yield Finding(check, Level.UNKNOWN, what, fix)
        return
    newest = max(
        (manifest.log.segment[8:] for manifest in Store(folder.parent).all() if manifest.log),
        default="",
    )
    for fault in survey.faults:
        if fault.is_hole and fault.segment[8:] > newest:
            what = f"{fault.what}: no restore recovers what was booked after that"
            yield red(check, what, "`tradebook backup --physical` now; later log continues from it")
        else:
            what = f"{fault.what}: recovery from the backups before it may end there"
            yield yellow(check, what, "restore from newer backups; `tradebook backup prune`")
    if survey.is_whole and survey.segments and not survey.compared:
        what = "the newest segments have no checksum: an altered one is not noticed"
        yield yellow(check, what, "`tradebook backup archive --apply` writes the script anew")
    elif survey.is_whole:
        what = (
            f"{survey.segments:,} segments, none missing; {survey.compared:,} checksums are right"
        )
        yield green(check, what)


def slots(target: CheckTarget) -> Iterator[Finding]:
    """Check for replication slots that make the server keep much of its log."""
    found = read_slots(target.connection)
    bad = [slot for slot in found if not slot.active or slot.retained_bytes > _MUCH_RETAINED]
    for slot in bad:
        kept = f"{slot.retained_bytes / 2**20:,.0f} MiB of the log are kept for it"
        if slot.active:
            fix = "check the disk and the network of its receiver"
            yield yellow("slots", f"{slot.name} is far behind: {kept}", fix)
        else:
            fix = f"start its receiver, or SELECT pg_drop_replication_slot('{slot.name}')"
            yield yellow("slots", f"{slot.name} is not in use; {kept}", fix)
    if not bad:
        yield green("slots", f"{len(found)}, all in use" if found else "none")
