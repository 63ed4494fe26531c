"""Celery's own commands on our application: worker, beat, inspect, control."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery.exceptions import TaskRevokedError

from tests.cluster import ROOT, Cluster, ready, running_cluster, said
from tests.processes import until
from vibe_tasks.store.version import SCHEMA_VERSION

MY_MODULE = """
from vibe_tasks import app, job

@job(lane="mine")
def double(number: int) -> int:
    return 2 * number
"""


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A worker of two processes, and a dispatcher."""
    with running_cluster(request, "sqlite") as made:
        worker = made.start_worker("code,control", processes=2)
        made.dispatcher()
        ready(worker)
        yield made


def run(cluster: Cluster, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """`celery …`, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "celery", *arguments],
        cwd=cluster.folder, env={**cluster.environ, **environ}, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip


# --- workers ---


def test_a_users_module_is_an_application(cluster: Cluster) -> None:
    """`celery -A mymodule worker`, where mymodule has our app; its lanes are served unasked."""
    (cluster.folder / "mymodule.py").write_text(MY_MODULE)
    with cluster.worker("", app="mymodule"):
        result = cluster.app.send_task("mymodule.double", (21,), queue="mine")
        assert cluster.jobs.add.AsyncResult(result.id).get(timeout=60) == 42


@pytest.mark.parametrize(("app", "lane"), [("workers.code", "code"), ("workers.qa", "qa")])
def test_a_role_serves_its_lane(cluster: Cluster, app: str, lane: str) -> None:
    """`celery -A workers.code worker` names its lane itself, and registers for it alone."""
    with cluster.worker("", app=app) as worker:
        assert f". {lane} " in said(worker).replace(".> ", ". ")
        name = said(worker).split(" ready.")[0].split()[-1]
        with cluster.ledger.read() as connection:
            lanes = connection.exec_driver_sql(
                f"SELECT lane FROM worker_health WHERE worker_id = '{name}'"  # noqa: S608
            ).scalars()
            assert list(lanes) == [lane]


def test_a_worker_serves_the_lanes_of_its_command_line(cluster: Cluster) -> None:
    """`-Q qa` runs qa's jobs and no others."""
    with cluster.worker("qa"):
        other = cluster.jobs.add.apply_async((1, 2), lane="deploy")
        assert cluster.jobs.add.apply_async((1, 2), lane="qa").get(timeout=60) == 3
        assert cluster.status(other.id) == "pending"


def test_a_worker_refuses_a_newer_ledger(cluster: Cluster, tmp_path: Path) -> None:
    """One clear line, exit code 2, no traceback; the ledger is not touched."""
    ledger = tmp_path / "ledger.db"
    newer = {"VIBE_DATABASE_URL": f"sqlite:///{ledger}"}
    code = "from vibe_tasks.tasks import resources as r\nl = r.ledger()\n"
    code += (
        "with l.begin() as c: c.exec_driver_sql(\"UPDATE alembic_version SET version_num='0999'\")"
    )
    subprocess.run(
        [sys.executable, "-c", code], env={**cluster.environ, **newer}, cwd=ROOT, check=True
    )
    ended = run(cluster, "-A", "vibe_tasks", "worker", "-c", "1", **newer)
    assert ended.returncode == 2
    words = (
        f"vibe: the ledger has schema 999, newer than this program's {SCHEMA_VERSION}; "
        "upgrade vibe_tasks"
    )
    assert ended.stderr.splitlines()[-1] == words  # before it Celery may warn of the user root
    assert "Traceback" not in ended.stderr + ended.stdout


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"VIBE_LEASE_SECONDS": "soon"}, "VIBE_LEASE_SECONDS"),
        ({"VIBE_LEESE_SECONDS": "3"}, "did you mean"),
        ({"VIBE_DATABASE_URL": "sqlite:////no/such/folder/ledger.db"}, "does not exist"),
        ({"VIBE_DATABASE_URL": "mysql://x"}, "VIBE_DATABASE_URL"),
        ({"VIBE_DATABASE_URL": "postgresql://127.0.0.1:1/none"}, "127.0.0.1"),
    ],
)
def test_a_worker_with_a_wrong_setting_does_not_start(
    cluster: Cluster, environ: dict[str, str], words: str
) -> None:
    """The last line names it, without a traceback; the exit code is 2."""
    ended = run(cluster, "-A", "vibe_tasks", "worker", "-c", "1", **environ)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert words in ended.stderr.strip().splitlines()[-1]


# --- beat ---


@pytest.mark.parametrize("app", ["vibe_tasks", "beat_schedule"])
def test_beat_is_a_dispatcher(request: pytest.FixtureRequest, app: str) -> None:
    """Without a dispatcher process: beat and a worker of `control` start what is due."""
    with running_cluster(request, "sqlite") as cluster:
        worker = cluster.start_worker("code,control", processes=1)
        beat = cluster.celery(
            "-A", app, "beat", "--loglevel", "INFO", "--schedule", str(cluster.home / "schedule")
        )
        ready(worker)
        result = cluster.jobs.add.apply_async((1, 2), countdown=0.5)
        assert result.get(timeout=60) == 3
        assert "Sending due task dispatch" in said(beat)


# --- control ---


def test_inspect_lists_what_runs(cluster: Cluster, tmp_path: Path) -> None:
    """`celery inspect active` shows the job's id and name; `ping` and `registered` answer."""
    log, gate = tmp_path / "log", tmp_path / "gate"
    result = cluster.jobs.hold.delay(str(log), str(gate))
    until(log.exists)
    active = run(cluster, "-A", "vibe_tasks", "inspect", "active", "--json")
    gate.touch()
    (tasks,) = json.loads(active.stdout).values()
    assert [(task["id"], task["name"]) for task in tasks] == [(result.id, "cluster_jobs.hold")]
    replies = cluster.app.control.inspect(timeout=60, limit=1)
    (names,) = replies.registered().values()
    assert {"cluster_jobs.add", "vibe.dev", "vibe.dispatch"} <= set(names)
    assert list(replies.ping().values()) == [{"ok": "pong"}]


def test_revoke_cancels_a_job_that_waits(cluster: Cluster, tmp_path: Path) -> None:
    """In the ledger, for good: also a worker that starts later drops its message."""
    log = tmp_path / "log"
    result = cluster.jobs.note.apply_async((str(log),), lane="qa")
    result.revoke()
    assert cluster.status(result.id) == "cancelled"
    with cluster.worker("qa"):
        cluster.jobs.add.apply_async((1, 2), lane="qa").get(timeout=60)
    assert not log.exists()
    with pytest.raises(TaskRevokedError):
        result.get(timeout=60)


def test_revoke_lets_a_running_job_finish(cluster: Cluster, tmp_path: Path) -> None:
    """As in Celery."""
    log, gate = tmp_path / "log", tmp_path / "gate"
    result = cluster.jobs.hold.delay(str(log), str(gate))
    until(log.exists)
    result.revoke()
    gate.touch()
    assert result.get(timeout=60) == "started"


def test_the_command_lines_revoke_cancels_the_job(cluster: Cluster) -> None:
    """`celery control revoke ID` reaches the workers alone; the one that gets it cancels it."""
    assert run(cluster, "-A", "vibe_tasks", "control", "revoke", "unwanted").returncode == 0
    result = cluster.jobs.add.apply_async((1, 2), task_id="unwanted")
    row = cluster.until(result.id, "cancelled")
    assert row["attempt"] == 0


def test_revoke_with_terminate_ends_a_running_job(cluster: Cluster, tmp_path: Path) -> None:
    """The process is ended, the job is cancelled and not tried again; the worker goes on."""
    log = tmp_path / "log"
    result = cluster.jobs.hold.delay(str(log), str(tmp_path / "never"))
    until(log.exists)
    result.revoke(terminate=True)
    row = cluster.until(result.id, "cancelled")
    assert (row["attempt"], row["retry_count"]) == (1, 0)
    assert cluster.jobs.add.delay(1, 2).get(timeout=60) == 3


# --- logs ---


def test_an_idle_worker_is_quiet(cluster: Cluster) -> None:
    """No warnings or errors in its log, although the broker's socket has a time-out."""
    with cluster.worker("quiet", environ={"VIBE_PUBLISH_TIMEOUT": "0.3"}) as worker:
        due = cluster.jobs.add.apply_async((1, 2), countdown=3, lane="quiet")
        assert due.get(timeout=60) == 3
        assert "WARNING" not in said(worker)
        assert "ERROR" not in said(worker)
        assert os.getpid() != worker.pid
