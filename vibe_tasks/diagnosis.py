"""What the doctor makes of what it sees: from which figure on something is wrong, and its mend.

Where all is well a text has no figure that changes from look to look.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from vibe_tasks.finding import Finding, fine, warning, wrong
from vibe_tasks.words import counted, span

MEBIBYTE = 2**20

BEAT_SECONDS = 1.0
"""Seconds that one heartbeat may take on a machine that is busy; three must fit into a lease."""

STOP_GRACE = 60.0
"""Seconds that our Compose file gives a worker to stop before it is killed."""

DISK_FULL = 256 * MEBIBYTE
"""Free bytes below which the next burst of writes may be the last."""

DISK_SHARE, DISK_PLENTY = 0.05, 20 * 1024 * MEBIBYTE
"""A share of the disk, and bytes; where less than both is free, somebody should look."""

MEMORY_SHARE, MEMORY_FULL = 0.8, 0.95
"""Shares of the broker's memory: from the first on a warning, from the second on it is wrong."""

SKEW = 2.0
"""Seconds between two clocks. Beat's messages are dropped when they are five seconds old."""

WAL_BYTES = 256 * MEBIBYTE
"""SQLite empties its log at about 4 MB; one that grows is kept from that by a long reader."""

CONNECTIONS_SHARE, CONNECTIONS_FULL = 0.8, 0.95
"""Shares of a server's `max_connections`."""

LOCK_SECONDS = 5.0
"""Seconds of waiting for a lock; transactions of ours take milliseconds."""

DEAD_LETTERS = 10
"""More dead letters within `DEAD_SECONDS` are more than bad luck."""

DEAD_SECONDS = 86_400.0

HELD_SECONDS = 600.0
"""Seconds for which a due job may be held before somebody should know."""

UNSENT = 1_000
"""Due jobs without a message; a dispatcher sends several thousand in a second."""

LATE_DAYS = 2.0
"""Days beyond its retention at which a row says that nothing archives: it runs once a day."""

COPY_CHANGES = 100_000
"""Changes that wait for a copy; one that is under way carries thousands over in a second."""


def lease(seconds: float) -> Finding:
    """The lease against a heartbeat, and against a stop.

    Args:
        seconds: `VIBE_LEASE_SECONDS`.
    """
    if seconds < 3 * BEAT_SECONDS:
        return warning(
            "lease", f"{seconds:g} s, shorter than three heartbeats of a busy machine",
            "VIBE_LEASE_SECONDS=8 for all processes, or attempts are lost at each short pause",
        )  # fmt: skip
    if seconds > STOP_GRACE:
        return warning(
            "lease", f"{seconds:g} s, longer than the {STOP_GRACE:g} s that a worker has to stop: "
            "what is killed at its end waits for so long",
            f"VIBE_LEASE_SECONDS={STOP_GRACE:g} or less for all processes",
        )  # fmt: skip
    return fine("lease", f"{seconds:g} s")


def disk(where: str, *, free: int, total: int) -> Finding:
    """The room for what is written.

    Args:
        where: What is there.
        free: Bytes that we may still write.
        total: Bytes of the disk.
    """
    left = f"{where}: {free // MEBIBYTE} MiB free of {total // MEBIBYTE}"
    mend = "free some; `vibe db archive`, `vibe db vacuum` and `vibe cache clear` give some back"
    if free < DISK_FULL:
        return wrong("disk", left, mend)
    if free < min(DISK_SHARE * total, DISK_PLENTY):
        return warning("disk", left, mend)
    return fine("disk", f"{where}: room enough")


def broker_memory(name: str, *, used: int, limit: int | None) -> Finding | None:
    """The broker's memory; None where nothing is to be said.

    Args:
        name: What the broker calls itself.
        used: Bytes.
        limit: Bytes that it may use; 0 or None: no limit.
    """
    if not limit or used < MEMORY_SHARE * limit:
        return None
    text = f"{name} uses {used // MEBIBYTE} MiB of the {limit // MEBIBYTE} that it may"
    mend = "raise its maxmemory; see what fills it: `vibe lanes list`, results, other programs"
    return (wrong if used >= MEMORY_FULL * limit else warning)("broker memory", text, mend)


def broker_persistence(name: str, *, persists: bool | None) -> Finding | None:
    """Whether the broker keeps what it has over a restart; None where nothing is to be said."""
    if persists is not False:
        return None
    return warning(
        "broker", f"{name} keeps nothing over a restart; jobs are sent again from the ledger, "
        "results of plain Celery tasks and what beat has done are lost",
        "appendonly yes, or a save rule, in the server's configuration file",
    )  # fmt: skip


def clocks(ahead: Mapping[str, float]) -> Finding:
    """Clocks against this machine's.

    Args:
        ahead: Seconds by which each is ahead, by whose it is.
    """
    skewed = {who: by for who, by in ahead.items() if abs(by) > SKEW}
    if not skewed:
        return fine("clock", f"as that of {' and '.join(ahead)}" if ahead else "nothing to compare")
    told = ", ".join(
        f"that of {who} is {span(abs(by))} {'ahead' if by > 0 else 'behind'}"
        for who, by in skewed.items()
    )
    return wrong("clock", f"against this machine's {told}", "let a time service (NTP) set all")


def wal(*, log: int, ledger: int) -> Finding | None:
    """SQLite's write-ahead log; None where nothing is to be said.

    Args:
        log: Bytes of it.
        ledger: Bytes of the file.
    """
    if log < WAL_BYTES:
        return None
    return warning(
        "ledger log", f"the write-ahead log has {log // MEBIBYTE} MiB, the file "
        f"{ledger // MEBIBYTE}: some process reads without an end",
        "end what has the file open for long (a copy, a browser of tables), then `vibe db vacuum`",
    )  # fmt: skip


def connections(*, used: int, most: int) -> Finding | None:
    """A server's connections; None where nothing is to be said.

    Args:
        used: Those that are open.
        most: `max_connections`, less those kept for administrators.
    """
    if used < CONNECTIONS_SHARE * most:
        return None
    return (wrong if used >= CONNECTIONS_FULL * most else warning)(
        "connections", f"{used} of {most} of the ledger's server are in use",
        "raise max_connections, or put a pooler (in session mode) before it",
    )  # fmt: skip


def lock_waits(waiting: int, *, longest: float, holder: str | None) -> Finding | None:
    """Sessions that wait for a lock of another; None where nothing is to be said.

    Args:
        waiting: How many wait for longer than `LOCK_SECONDS`.
        longest: Seconds of the longest.
        holder: Who holds it, in words; None where that is not known.
    """
    if not waiting:
        return None
    return wrong(
        "locks", f"{counted(waiting, 'session')} of the ledger's server waiting for locks, "
        f"for up to {span(longest)}{f', held by {holder}' if holder else ''}",
        "end who holds them: SELECT pg_terminate_backend(PID)",
    )  # fmt: skip


def versions(found: Mapping[str, Collection[str]], *, ours: str | None) -> Finding | None:
    """Programs of the workers; None where nothing is to be said.

    Args:
        found: The workers that are online, by the version that they registered with.
        ours: This program's; None where it runs from its source.
    """
    if len({*found, *([ours] if ours else [])}) < 2:
        return None
    told = "; ".join(f"{each}: {', '.join(sorted(found[each]))}" for each in sorted(found))
    return warning(
        "versions", f"this program is {ours or 'not installed'}, workers are {told}",
        "finish the upgrade: see docs/upgrading.md",
    )  # fmt: skip


def silent(names: Sequence[str], *, late: Sequence[str], lease_seconds: float) -> Finding | None:
    """Workers that are not heard of; None where nothing is to be said.

    Args:
        names: Those that were not heard of for a lease and have not left.
        late: Those that were not heard of for three quarters of one.
        lease_seconds: The lease.
    """
    if names:
        return warning(
            "silent", f"not heard of for a lease: {', '.join(names)}",
            "look at their machines; one that is gone for good is forgotten after a day",
        )  # fmt: skip
    if late:
        return warning(
            "silent", f"their heartbeats come late for a lease of {lease_seconds:g} s: "
            f"{', '.join(late)}",
            "give all processes one VIBE_LEASE_SECONDS; look at their load and the ledger's",
        )  # fmt: skip
    return None


def dead_letters(number: int, *, lately: int) -> Finding | None:
    """Dead letters; None where nothing is to be said.

    Args:
        number: All.
        lately: Those that came within `DEAD_SECONDS`.
    """
    if lately <= DEAD_LETTERS:
        return None
    return warning(
        "dead letters", f"{lately} within a day, {number} in all",
        "`vibe dlq list` tells why; `vibe dlq retry` or `vibe dlq discard` each",
    )  # fmt: skip


def held(lane: str, what: str, *, jobs: int, seconds: float, paused: bool) -> Finding | None:
    """Due jobs of a lane that are held; None where nothing is to be said.

    Args:
        lane: The lane.
        what: What for: `lane`, `key` or `worker`.
        jobs: How many.
        seconds: For how long the first of them.
        paused: Whether the lane is paused.
    """
    if seconds < HELD_SECONDS:
        return None
    why, mend = {
        "lane": ("its limits", f"`vibe lanes list`; `vibe lanes limit {lane}` changes them"),
        "key": ("a concurrency key", "`vibe jobs explain ID` names the job that has it"),
        "worker": ("a worker with the labels they require", "`vibe jobs explain ID` names them"),
    }[what]
    if paused and what == "lane":
        why, mend = "the lane to be resumed", f"`vibe lanes resume {lane}`"
    text = f"lane {lane}: {counted(jobs, 'job')} waiting for {why}, for {span(seconds)}"
    return warning("held", text, mend)


def outbox(number: int, *, seconds: float, slow: float, mend: str) -> Finding:
    """Due jobs whose message nobody has sent.

    Args:
        number: How many, as far as they were counted.
        seconds: Since when the oldest should have been sent.
        slow: Seconds that a dispatcher takes at most.
        mend: What starts one.
    """
    if seconds > slow:
        many = f", {number} in all" if number > 1 else ""
        return wrong("dispatcher", f"a job is due and unsent since {span(seconds)}{many}", mend)
    if number > UNSENT:
        text = f"{number} due jobs are unsent; it sends them slower than they come"
        return warning("dispatcher", text, "look at the broker's and the ledger's machines")
    return fine("dispatcher", "nothing that is due waits to be sent")


def history(days: float, *, kept: float) -> Finding | None:
    """The oldest row of the history; None where nothing is to be said.

    Args:
        days: Its age.
        kept: Days for which the history is kept before it is archived.
    """
    if days < kept + LATE_DAYS:
        return None
    return warning(
        "archive", f"the history goes {days:.0f} days back and is kept for {kept:g}: "
        "nothing archives it",
        "start a beat and a worker of the lane control, or `vibe db archive` daily",
    )  # fmt: skip


def copy(changes: int, *, to: str) -> Finding | None:
    """A copy of the ledger that nobody goes on with; None where nothing is to be said.

    Args:
        changes: About how many wait to be carried over; the ledger keeps them all.
        to: The other database, without a password.
    """
    if changes < COPY_CHANGES:
        return None
    return warning(
        "copy", f"{changes:,} changes wait for a copy to {to}, and each write makes them more",
        "go on with `vibe db copy`, or end it with its --undo; see docs/moving.md",
    )  # fmt: skip
