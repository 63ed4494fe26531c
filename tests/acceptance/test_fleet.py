"""A fleet of worker processes that follows its work, on a real deployment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.cluster import Cluster, running_cluster
from tests.processes import command_line, ended_by_id, runs, until
from vibe_tasks.store import fleet
from vibe_tasks.tasks.fleet.provisioners.process import LOG

SCALED = {
    "VIBE_FLEET": "code=process:0:2",
    "VIBE_SCALE_UP_AGE": "0",
    "VIBE_SCALE_UP_COOLDOWN": "0",
    "VIBE_SCALE_DOWN_AFTER": "0.5",
    "VIBE_SCALE_DOWN_COOLDOWN": "0.5",
}


@pytest.fixture
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A deployment without a worker for lane code, but with one that may start some."""
    with running_cluster(request, "sqlite") as made:
        made.dispatcher()
        with made.worker("control", environ=SCALED), ended_by_id() as left:
            yield made
            left += [each for each in [keeper(made)] if each]


def members(cluster: Cluster) -> tuple[fleet.Member, ...]:
    """The fleet's workers, as the registry has them."""
    with cluster.ledger.read() as connection:
        return fleet.members(connection, "auto-code-", "code")


def keeper(cluster: Cluster) -> psutil.Process | None:
    """The keeper of this host, as its lock names it; None where none runs."""
    try:
        keeper_lock = cluster.module("fleet.provisioners.process").keeper_lock
        text = keeper_lock().read_text(encoding="utf-8")
        found = psutil.Process(int(text))
        mine = "vibe_tasks.stack.keeper" in " ".join(command_line(found))
    except (OSError, ValueError, psutil.Error):
        return None
    return found if mine and runs(found) else None


def looking(cluster: Cluster, condition: Callable[[], bool]) -> None:
    """Let beat's task look again and again, until the condition holds."""

    def looked() -> bool:
        cluster.app.send_task("vibe.scale", queue="control", expires=5)
        try:
            until(condition, seconds=1)
        except AssertionError:
            return False
        return True

    until(looked)


def test_workers_come_for_a_burst_and_go_after_it(cluster: Cluster, tmp_path: Path):
    """A burst starts workers up to the most that there may be; killing the keeper of the host, and
    with it all of them, costs seconds and no job; once the work is done they drain and end, and
    the history tells why each time; the keeper's log knows no death.
    """
    log, gate = tmp_path / "log", tmp_path / "gate"
    jobs = [cluster.jobs.hold.delay(str(log), str(gate)).id for _ in range(5)]

    def at_work() -> bool:
        return sum(each.busy for each in members(cluster)) == 2

    looking(cluster, at_work)
    first = keeper(cluster)
    assert first is not None
    crew = first.children()
    assert len(crew) == 2
    first.kill()
    until(lambda: not any(runs(each) for each in crew))
    looking(cluster, lambda: keeper(cluster) is not None)
    gate.touch()
    looking(cluster, lambda: all(cluster.status(each) == "completed" for each in jobs))
    looking(cluster, lambda: not members(cluster))
    last = keeper(cluster)
    assert last is not None
    until(lambda: not last.children())
    last.terminate()
    until(lambda: keeper(cluster) is None)
    told = Path(cluster.environ["VIBE_HOME"], "logs", LOG).read_text(encoding="utf-8")
    assert "WARNING" not in told
    assert "auto-code-1@" in told
    found = json.loads(_vibe(cluster, "scale", "history", "--json"))
    changes = [(each["before"], each["target"]) for each in reversed(found)
               if each["error"] is None and each["before"] != each["target"]]  # fmt: skip
    assert changes[0] == (0, 2)
    assert changes[-1][1] == 0
    assert len(changes) <= 6
    assert found[-1]["figures"]["waiting"] == 5
    assert "wait" in found[-1]["reason"]


def _vibe(cluster: Cluster, *arguments: str) -> str:
    argv = [sys.executable, "-m", "vibe_tasks.cli.main", *arguments]
    environ = {**os.environ, **cluster.environ}
    return subprocess.run(
        argv,
        env=environ,
        cwd=cluster.folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
