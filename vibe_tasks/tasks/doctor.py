"""What is wrong with a deployment, as seen from this process, and how to mend it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile

from vibe_tasks.errors import InputError
from vibe_tasks.flow.views.registry import registry
from vibe_tasks.flow.views.unserved import unserved
from vibe_tasks.jobs import LANES
from vibe_tasks.masking import masked
from vibe_tasks.store.engine import Database
from vibe_tasks.store.stats import get_queue_stats
from vibe_tasks.store.version import SCHEMA_VERSION
from vibe_tasks.store.watching import oldest_unsent
from vibe_tasks.store.workers import list_workers
from vibe_tasks.tasks import resources
from vibe_tasks.tasks.broker_probe import probe
from vibe_tasks.tasks.broker_socket import stack_answers
from vibe_tasks.tasks.health import SLOW_DISPATCHER
from vibe_tasks.words import span
from vibe_tasks.workspace.git import OLDEST, git_version
from vibe_tasks.workspace.sandbox import unavailable

Look = Callable[[], AbstractContextManager[Database]]
"""Opens the ledger."""

NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "9p", "afs", "ceph", "glusterfs"}
)
"""Where SQLite's shared memory and locks do not work (sqlite.org/wal.html)."""

MOUNTS = Path("/proc/self/mounts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The outcome of one check.

    Attributes:
        check: What was looked at.
        ok: Whether it is as it must be.
        text: What was found.
        mend: What to do about it; with `ok` this is a warning, empty where nothing is wrong.
        there: Whether there is such a thing here; with `ok` nothing needs it.
    """

    check: str
    ok: bool
    text: str
    mend: str = ""
    there: bool = True


def examine(look: Look, *, missing: Callable[[], str | None] = lambda: None) -> Iterator[Finding]:
    """Check one thing after the other; what rests on something broken is left out.

    Args:
        look: Opens the ledger.
        missing: Where we looked for a ledger, where there is none yet.
    """
    try:
        resources.settings()
    except InputError as error:
        yield Finding(
            check="settings", ok=False, text=str(error), mend="correct it or take it away"
        )
        return
    yield Finding(check="settings", ok=True, text="all known and in their bounds")
    yield attempted("git", git, mend=f"install git {'.'.join(map(str, OLDEST))} or newer")
    yield sandbox()
    place = attempted("home", home, mend="set VIBE_HOME to a folder of yours on a local disk")
    yield place
    reached = attempted("broker", broker, mend="start it, or correct VIBE_BROKER_URL")
    yield reached
    if not place.ok:
        return
    found = attempted(
        "ledger",
        partial(ledger, look, missing),
        mend="see `vibe db --help`; VIBE_DATABASE_URL names it",
    )
    yield found
    if found.ok and reached.ok:
        yield from work(look, expected=bool(resources.settings().broker_url) or stack_answers())


def attempted(check: str, look: Callable[[], Finding], *, mend: str) -> Finding:
    """What the look found; its refusal is a finding too."""
    try:
        return look()
    except InputError as error:
        return Finding(check=check, ok=False, text=str(error), mend=mend)


def git() -> Finding:
    """Whether git is there and new enough."""
    number = git_version()
    return Finding(check="git", ok=True, text=".".join(map(str, number)))


def sandbox() -> Finding:
    """Whether programs can be confined here; only plans that ask for it need that."""
    reason = unavailable()
    text = "bubblewrap works" if reason is None else f"none: {reason}; `sandbox: strict` is refused"
    return Finding(check="sandbox", ok=True, text=text, there=reason is None)


def home() -> Finding:
    """Whether the home can be written and, for SQLite, is on a local disk."""
    folder = resources.home()
    there = next(each for each in (folder, *folder.parents) if each.exists())
    try:
        with TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise InputError(f"{there} cannot be written: {error.strerror}") from error
    kind = file_system(folder, MOUNTS.read_text(errors="replace") if MOUNTS.exists() else "")
    if kind in NETWORK_FILE_SYSTEMS:
        raise InputError(f"{folder} is on a network file system ({kind}), where SQLite loses locks")
    text = f"{folder}{f' ({kind})' if kind else ''}"
    if there != folder:
        text += ", not there yet; `vibe run` and `vibe up` make it"
    return Finding(check="home", ok=True, text=text)


def file_system(folder: Path, mounts: str) -> str:
    """The type of file system that a folder is on; empty where that is not known.

    Args:
        folder: Absolute and resolved.
        mounts: The lines of /proc/self/mounts.
    """
    found = ""
    longest = -1
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = Path(fields[1].replace("\\040", " "))
        # Of several mounts on one point the last is the one that is seen.
        if (folder == point or point in folder.parents) and len(point.parts) >= longest:
            longest, found = len(point.parts), fields[2]
    return found


def broker() -> Finding:
    """Whether the broker answers and keeps every message."""
    url = masked(resources.broker_url())
    if not resources.settings().broker_url and not stack_answers():
        return Finding(
            check="broker",
            ok=True,
            text="embedded, not running now; `vibe run` and `vibe up` start it",
        )
    found = probe(resources.broker_url())
    if found.forgets:
        return Finding(
            check="broker", ok=False,
            text=f"{found.name} drops messages when it is full (maxmemory-policy {found.policy})",
            mend="CONFIG SET maxmemory-policy noeviction, and in the server's configuration file",
        )  # fmt: skip
    policy = "keeps every message" if found.policy else "does not tell its maxmemory-policy"
    return Finding(check="broker", ok=True, text=f"{found.name} at {url}, {policy}")


def ledger(look: Look, missing: Callable[[], str | None]) -> Finding:
    """Whether the ledger answers and has this program's schema."""
    if place := missing():
        text = f"none in {place} yet; `vibe run` and `vibe up` make it"
        return Finding(check="ledger", ok=True, text=text)
    with look() as opened:
        where = opened.engine.url.render_as_string(hide_password=True)
    return Finding(check="ledger", ok=True, text=f"{where}, schema {SCHEMA_VERSION}")


def work(look: Look, *, expected: bool) -> Iterator[Finding]:
    """Whether somebody serves each lane and sends what is due.

    Args:
        look: Opens the ledger.
        expected: Whether a deployment runs; without one nobody has to.
    """
    with look() as opened, opened.read() as connection:
        stats = get_queue_stats(connection)
        found = registry(list_workers(connection), lease=resources.settings().lease_seconds)
        unsent = oldest_unsent(connection)
    embedded = not resources.settings().broker_url
    waiting = [
        Finding(check="lanes", ok=not expected, text=each.text(), mend=each.mend(embedded=embedded))
        for each in unserved(stats, found)
    ]
    if not expected:
        yield Finding(check="workers", ok=True, text="none, as no stack runs")
        yield from waiting
        return
    served = {lane for each in found if each["status"] == "online" for lane in each["lanes"]}
    for lane in sorted(LANES):
        if lane in served:
            names = [each["worker_id"] for each in found
                     if lane in each["lanes"] and each["status"] == "online"]  # fmt: skip
            yield Finding(check="workers", ok=True, text=f"lane {lane}: {', '.join(names)}")
        else:
            yield Finding(
                check="workers", ok=False, text=f"lane {lane}: nobody",
                mend=f"celery -A vibe_tasks worker -Q {lane}",
            )  # fmt: skip
    yield from waiting
    if unsent > SLOW_DISPATCHER:
        yield Finding(
            check="dispatcher", ok=False, text=f"a job is due and unsent since {span(unsent)}",
            mend="celery -A beat_schedule beat, or python -m vibe_tasks.tasks.dispatcher",
        )  # fmt: skip
    else:
        yield Finding(check="dispatcher", ok=True, text="nothing that is due waits to be sent")
