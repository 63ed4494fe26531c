"""Checks of the broker, the ledger and the clocks of both."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

from vibe_tasks import diagnosis
from vibe_tasks.errors import InputError
from vibe_tasks.finding import Finding, fine, warning, wrong
from vibe_tasks.masking import masked
from vibe_tasks.store import checkup, sealing, vacuum
from vibe_tasks.store.copying import change_log
from vibe_tasks.store.copying.facts import COPY_TO, own_facts
from vibe_tasks.store.engine import Database, Transaction, server_time
from vibe_tasks.store.version import SCHEMA_VERSION, found_version
from vibe_tasks.tasks import resources
from vibe_tasks.tasks.broker_probe import Broker, probe
from vibe_tasks.tasks.broker_socket import stack_answers
from vibe_tasks.tasks.checkup.machine import disk, local

KEYS = "give all processes VIBE_PAYLOAD_KEYS with that key in it; see docs/security.md"
"""The mend of a missing key."""

PATIENCE = 2.0
"""Seconds for a web server to take a connection."""


def reach_broker() -> Broker | None:
    """What the broker says of itself; None where it is the embedded one, and does not run.

    Raises:
        UnavailableError: It does not answer.
    """
    if not resources.settings().broker_url and not stack_answers():
        return None
    return probe(resources.broker_url())


def broker(found: Broker | None) -> Iterator[Finding]:
    """Whether the broker keeps every message, and has room for more."""
    if found is None:
        yield fine("broker", "embedded, not running now; `vibe run` and `vibe up` start it")
        return
    if found.forgets:
        yield wrong(
            "broker",
            f"{found.name} drops messages when it is full (maxmemory-policy {found.policy})",
            "CONFIG SET maxmemory-policy noeviction, and in the server's configuration file",
        )
        return
    policy = "keeps every message" if found.policy else "does not tell its maxmemory-policy"
    yield fine("broker", f"{found.name} at {masked(resources.broker_url())}, {policy}")
    # The embedded one keeps nothing on purpose: whoever uses it has all of it in the ledger.
    persists = found.persists if resources.settings().broker_url else None
    for each in (
        diagnosis.broker_persistence(found.name, persists=persists),
        diagnosis.broker_memory(found.name, used=found.used, limit=found.limit),
    ):
        if each is not None:
            yield each


def ledger(opened: Database) -> Iterator[Finding]:
    """The ledger, which has answered: its schema, its file or its server, its retention."""
    where = opened.engine.url.render_as_string(hide_password=True)
    version = found_version(opened)
    if version is not None and version > SCHEMA_VERSION:
        yield warning(
            "ledger", f"{where}, schema {version}, newer than this program's {SCHEMA_VERSION}, "
            "which it can work on for now",
            "upgrade vibe_tasks here: see docs/upgrading.md",
        )  # fmt: skip
    else:
        yield fine("ledger", f"{where}, schema {SCHEMA_VERSION}")
    yield from _file(opened) if opened.is_sqlite else ()
    kept = resources.settings().history_days
    with checkup.asking(opened) as connection:
        # First, and told at once: what others hold may keep the rest from being answered.
        yield from () if opened.is_sqlite else [*_server(connection)]
        bloat = vacuum.bloat(connection)
        days = checkup.history_days(connection)
        lacks = sealing.problem(connection)
        copied = diagnosis.copy(
            change_log.backlog(connection), to=own_facts(connection).get(COPY_TO, "another ledger")
        )
    if lacks is not None:
        yield wrong("keys", lacks, KEYS)
    for _, _, _, text in bloat:
        yield warning("bloat", text, "`vibe db vacuum`, and what its text names")
    late = diagnosis.history(days, kept=kept) if kept else None
    yield from (each for each in (late, copied) if each is not None)


def _file(opened: Database) -> Iterator[Finding]:
    file = vacuum.sqlite_file(opened).absolute()
    if file.parent != resources.home():
        try:
            local(file.parent)
        except InputError as error:
            yield wrong("ledger", str(error), "move it to a local disk, or to PostgreSQL")
        yield disk("the ledger's disk", file.parent)
    taken = vacuum.room(opened)
    log = diagnosis.wal(log=taken.log, ledger=taken.size)
    if log is not None:
        yield log


def _server(connection: Transaction) -> Iterator[Finding]:
    used, most = checkup.connections(connection)
    waits = checkup.lock_waits(connection, diagnosis.LOCK_SECONDS)
    for each in (
        diagnosis.connections(used=used, most=most),
        diagnosis.lock_waits(waits.sessions, longest=waits.longest, holder=waits.holder),
    ):
        if each is not None:
            yield each


def clocks(opened: Database | None, found: Broker | None) -> dict[str, float]:
    """Seconds by which the clocks of other machines are ahead of ours, by whose they are."""
    ahead: dict[str, float] = {}
    if opened is not None and not opened.is_sqlite:
        before = resources.wall_clock()
        theirs = server_time(opened)
        ahead["the ledger's server"] = theirs - (before + resources.wall_clock()) / 2
    if found is not None and found.ahead is not None and resources.settings().broker_url:
        ahead["the broker"] = found.ahead
    return ahead


def intake(url: str) -> Iterator[Finding]:
    """Whether the web server takes connections to which programs are told to send their events.

    Args:
        url: `VIBE_WEB_URL`; empty: nobody was told.
    """
    if not url:
        return
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), timeout=PATIENCE).close()
    except OSError as error:
        yield wrong(
            "events", f"no web server at {masked(url)}: {error.strerror or error}; events that "
            "are sent to it are lost",
            "start it (`vibe web`), or correct VIBE_WEB_URL",
        )  # fmt: skip
    else:
        yield fine("events", f"taken in at {masked(url)}")
