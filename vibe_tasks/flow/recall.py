"""Changes that agents made before, used again instead of running the agent.

What decides a change decides its key: the agent, what it is asked, the files of the plan's base and
the keys of the tasks that it needs. Not where the plan's branch happens to stand: tasks that do not
need each other are merged in any order, and the next run's order is another one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from vibe_tasks.agents.agent import Answer
from vibe_tasks.cache import UNDECIDING, content_key, size_of
from vibe_tasks.errors import LeaseLostError, Snooze
from vibe_tasks.flow.workplace import Bench
from vibe_tasks.store import plans, result_cache, usage
from vibe_tasks.workspace.patch import tree_of

LARGEST_PROGRAM = 10_000_000
"""Bytes of a file named in an agent's command line that are looked at for changes."""

MOST_FILES = 1_000
"""Files of a folder named there that are looked at."""

LARGEST_VALUE = 5_000_000
"""Bytes of a change that are kept; a larger one is made again."""

HOLD = 120.0
"""Seconds for which others wait for what an attempt makes, unless it says again that it does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """What an agent did before.

    Attributes:
        value: What was kept of it.
        answer: What the agent answered; without its figures, as it costs nothing now.
    """

    value: Mapping[str, Any]
    answer: Answer


def key_of_step(
    bench: Bench,
    *,
    agent: str,
    spec: Mapping[str, Any],
    refused: object = None,
    judged: object = None,
) -> str:
    """The key of a dev or fix job, or of a review.

    Args:
        bench: The attempt.
        agent: What the plan calls the agent.
        spec: Its description, as JSON values.
        refused: For a fix what was refused and why: JSON values that are the same whenever the same
            happened.
        judged: For a review what is judged; the way to it does not matter.
    """
    task = bench.spec["task"]
    with bench.place.ledger.read() as connection:
        earlier = plans.keys_of_tasks(
            connection, str(bench.claim.plan_id), [*task["needs"], task["id"]]
        )
    return content_key(
        {
            "kind": bench.claim.kind,
            "agent": _agent_parts(bench, agent, spec),
            "task": {name: task[name] for name in ("id", "title", "prompt", "files", "checks")},
            "base": tree_of(bench.repository, bench.plan["base_commit"]),
            "needs": {need: earlier.get(need) for need in sorted(task["needs"])},
            "before": None if judged else earlier.get(task["id"]),
            "refused": refused,
            "judged": judged,
        }
    )


def recall(bench: Bench, key: str) -> Remembered | None:
    """What was made under this key before; None: this attempt is to make it now.

    Raises:
        Snooze: Another attempt is making it.
    """

    def take(_unsure: bool) -> Any:
        with bench.place.ledger.begin() as connection:
            return result_cache.take(
                connection, key, bench.claim.id, HOLD, tag_of(bench), bench.place.cache_ttl
            )

    found = bench.place.insist(take)
    if isinstance(found, result_cache.Busy):
        raise Snooze(found.seconds, "another job is making the same change")
    if isinstance(found, result_cache.Mine):
        return None
    return Remembered(value=found.value, answer=answer_of(found.value.get("answer") or {}))


def answer_of(kept: Mapping[str, Any]) -> Answer:
    """The answer that was kept, also by a newer version, which may have kept more of it."""
    said = {each.name: kept[each.name] for each in fields(Answer) if each.name in kept}
    return Answer(**{**said, "findings": tuple(said.get("findings") or ())})


@contextmanager
def making(bench: Bench, key: str | None) -> Iterator[Remembered | None]:
    """The attempt that makes something, or has it from before; one at a time for each key.

    Args:
        bench: The attempt.
        key: What it is found under; None where it is not to be kept.

    Raises:
        Snooze: Another attempt is making it.
    """
    if key is None:
        yield None
        return
    known = recall(bench, key)
    try:
        yield known
    except LeaseLostError:
        raise  # the next attempt of this job makes it now
    except BaseException:
        if known is None:
            forget(bench, key)
        raise


def hold(bench: Bench, key: str) -> None:
    """Say again that this attempt makes it; the database may refuse without harm."""
    with bench.place.ledger.begin() as connection:
        result_cache.renew(connection, key, bench.claim.id, HOLD)


def remember(bench: Bench, key: str, answer: Answer, **value: Any) -> None:
    """Keep what this attempt has made, for whoever does the same again."""
    said = {
        name: part
        for name, part in asdict(answer).items()
        if name in {"summary", "verdict", "findings", "model"}
    }
    kept = {**value, "answer": {**said, "findings": list(answer.findings)}}
    size = size_of(kept)
    place = bench.place

    def put(_unsure: bool) -> None:
        with place.ledger.begin() as connection:
            if size > LARGEST_VALUE:
                result_cache.give_up(connection, key, bench.claim.id)
                return
            result_cache.put(
                connection, key, bench.claim.id, kept, size, place.cache_ttl, place.cache_entries
            )

    place.insist(put)


def forget(bench: Bench, key: str) -> None:
    """This attempt will not make it after all; who waits may."""

    def give_up(_unsure: bool) -> None:
        with bench.place.ledger.begin() as connection:
            result_cache.give_up(connection, key, bench.claim.id)

    bench.place.insist(give_up)


def note_cached(bench: Bench, agent: str) -> None:
    """Write down that this attempt used nothing."""
    claim = bench.claim

    def write(_unsure: bool) -> None:
        with bench.place.ledger.begin() as connection:
            usage.record(
                connection, job_id=claim.id, attempt=claim.attempt, plan_id=claim.plan_id,
                task_id=claim.task_id, agent=agent, kind=claim.kind, cached=True,
            )  # fmt: skip

    bench.place.insist(write)


def tag_of(bench: Bench) -> str:
    """What kept results of this task are marked with, so that a dead task's can be dropped."""
    return tag(str(bench.claim.plan_id), str(bench.claim.task_id))


def tag(plan_id: str, task_id: str) -> str:
    """As `tag_of`."""
    return f"{plan_id}/{task_id}"


def _agent_parts(bench: Bench, agent: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """What makes an agent the one it is: not its name alone, nor how long it may take."""
    said = {name: value for name, value in spec.items() if name not in UNDECIDING}
    plan_dir = Path(bench.plan["plan_dir"])
    words = [*(spec.get("argv") or ()), *(spec.get("args") or ())]
    # What comes with the plan may change with it.
    own = [plan_dir / word.partition("{plan_dir}")[2].lstrip("/") for word in words
           if "{plan_dir}" in word]  # fmt: skip
    if spec.get("type") == "recorded":
        own.append(plan_dir / str(spec["path"]) / bench.spec["task"]["id"])
    return {"name": agent, "spec": said, "files": [digest for each in own for digest in _of(each)]}


def _of(place: Path) -> list[str]:
    """Digests of a file, or of the files of a folder and below."""
    files = sorted(place.rglob("*"))[:MOST_FILES] if place.is_dir() else [place]
    return [digest for each in files if (digest := _digest(each))]


def _digest(path: Path) -> str | None:
    """Of a file's content, large ones by size and time; None where there is none."""
    try:
        status = path.stat()
        if not path.is_file():
            return None
        if status.st_size > LARGEST_PROGRAM:
            return f"{status.st_size} {status.st_mtime_ns}"
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
