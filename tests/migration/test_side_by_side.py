"""Workers of this version and of the next, on one ledger and one broker."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.cluster import Cluster, databases, running_cluster, said
from tests.next_version import STOPS, Version, next_version, version_after, vibe
from tests.processes import until
from vibe_tasks.store import version
from vibe_tasks.store.version import SCHEMA_VERSION

NOW, NEXT = SCHEMA_VERSION, SCHEMA_VERSION + 1

ROW = text("SELECT attempt, worker, ended_by FROM jobs WHERE id = :job")
PRODUCER = """
import sys
from cluster_jobs import add, fail_until
chain = add.s(1, 2).set(queue="old") | add.s(3).set(queue="old")
print(chain.apply_async().id, fail_until.apply_async((sys.argv[1], 2), queue="next").id)
"""


@pytest.fixture(scope="module", params=databases("postgres"))
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A broker, a ledger, and this version's dispatcher."""
    with running_cluster(request, request.param) as made:
        made.dispatcher()
        yield made


def run(cluster: Cluster, of: Version, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run a program of this version of ours to its end."""
    return subprocess.run(
        argv, cwd=cluster.folder, env=of.environ(cluster.environ), capture_output=True,
        text=True, timeout=120, check=False,
    )  # fmt: skip


def kill_half_way(cluster: Cluster, of: Version, stop: Path) -> None:
    """Begin to bring the schema up, and end that by SIGKILL in the middle."""
    environ = {**of.environ(cluster.environ), STOPS: str(stop)}
    upgrade = cluster.start("upgrade", *vibe("db", "upgrade"), environ=environ)
    until(lambda: stop.exists() or upgrade.exit_code() is not None)
    assert stop.exists(), said(upgrade)
    upgrade.kill()


def ended(cluster: Cluster, job_id: str) -> dict[str, Any]:
    """The row of a job that completes, with the column that this version does not know."""
    cluster.until(job_id, "completed")
    with cluster.ledger.read() as connection:
        return dict(connection.execute(ROW, {"job": job_id}).mappings().one())


def both_work(cluster: Cluster, log: Path) -> None:
    """Two jobs at once, one in each worker's hands; each writes what its version does."""
    gate = log.with_suffix(".gate")
    held = [cluster.jobs.hold.delay(str(log), str(gate)).id for _ in range(2)]
    until(lambda: len(cluster.jobs.lines(log)) == 2)
    gate.touch()
    rows = [ended(cluster, each) for each in held]
    assert {row["ended_by"] for row in rows} == {None, "the next version"}
    assert len({row["worker"] for row in rows}) == 2
    for each in cluster.jobs.add.submit_many([(1, 2)] * 20):
        ended(cluster, each.id)


def they_understand_each_other(cluster: Cluster, of: Version, log: Path) -> None:
    """What the next version's producer asks for, with fields that this version does not know, its
    worker does; and its dispatcher sends it again.
    """
    asked = run(cluster, of, sys.executable, "-c", PRODUCER, str(log))
    assert asked.returncode == 0, asked.stderr
    chain, retried = asked.stdout.split()
    assert ended(cluster, chain)["ended_by"] is None
    assert cluster.row(chain)["result"] == 6
    again = ended(cluster, retried)
    assert (again["ended_by"], again["attempt"]) == ("the next version", 2)
    assert cluster.row(retried)["canvas"]["next_field"] == {"deep": [1]}
    assert ended(cluster, cluster.jobs.add.apply_async((2, 2), queue="next").id)["attempt"] == 1


def refused(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    """One line that says this, and exit code 2."""
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    (line,) = done.stderr.splitlines()
    assert all(part in line for part in parts), line


@pytest.mark.timeout(600)
def test_one_version_runs_beside_the_next(cluster: Cluster, tmp_path: Path) -> None:
    """Expand: the schema comes up while this version works, also at the second try when the first
    was killed; both versions' workers share the jobs. Contract: refused while this version's
    workers are online, and once it is done they are refused, with a line.
    """
    following = next_version(tmp_path / "next")
    with cluster.worker("code,old") as old:
        log, gate = tmp_path / "spans", tmp_path / "gate"
        spanning = cluster.jobs.hold.delay(str(log), str(gate)).id
        until(log.exists)
        kill_half_way(cluster, following, tmp_path / "stop")
        assert version.found_version(cluster.ledger) == NOW
        gate.touch()
        assert cluster.until(spanning, "completed")["attempt"] == 1

        done = run(cluster, following, *vibe("db", "upgrade", "--json"))
        assert json.loads(done.stdout) == {"before": NOW, "after": NEXT}, done.stderr
        environ = following.environ(cluster.environ)
        with cluster.worker("code,next", environ=environ):
            both_work(cluster, tmp_path / "both")
            they_understand_each_other(cluster, following, tmp_path / "again")
            back = run(cluster, following, *vibe("db", "downgrade", "--to", str(NOW), "--yes"))
            refused(back, "online: code-next", f"(schema {NEXT})", "for programs of schemas")

            last = version_after(tmp_path / "last", following)
            upgrade = vibe("db", "upgrade", "--json")
            refused(run(cluster, last, *upgrade), "online: code-old", f"(schema {NOW})", "--force")
            old.terminate(60)
            done = run(cluster, last, *upgrade)
            assert json.loads(done.stdout) == {"before": NEXT, "after": NEXT + 1}, done.stderr
            added = cluster.jobs.add.apply_async((2, 3), queue="next").id
            assert ended(cluster, added)["ended_by"] == "the next version"
    late = cluster.start_worker("code")
    until(lambda: late.exit_code() is not None)
    assert late.exit_code() == 2
    assert f"newer than this program's {NOW}; upgrade vibe_tasks" in said(late).splitlines()[-1]
