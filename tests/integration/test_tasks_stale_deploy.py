"""A deploy whose worker is paused in the middle of its merge."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from psutil import NoSuchProcess, Process

from tests.cluster import running_cluster, said
from tests.processes import until
from tests.repositories import new_repository
from vibe_tasks.store import plans
from vibe_tasks.workspace.git import git

AGENT = "from pathlib import Path; Path('greeting.txt').write_text('hello\\n')"

SLOW_GIT = """#!/bin/sh
case " $* " in *" merge-tree "*)
  echo merging >> "{log}"
  while [ ! -e "{gate}" ]; do sleep 0.05; done;;
esac
exec "{git}" "$@"
"""

PLAN = """
version: 1
name: stale
repo: {repo}
agent: mine
agents:
  mine: {{type: command, argv: ["{python}", "-c", "{agent}"]}}
deploy: {{approval: auto, command: "echo deployed >> {deployed}"}}
tasks:
  - {{id: hello, prompt: Say hello, files: [greeting.txt]}}
"""

SHORT_LEASE = {"VIBE_LEASE_SECONDS": "2"}


def test_a_paused_worker_that_wakes_up_cannot_merge_or_deploy(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Another worker has done it: one merge, and one run of the command after it."""
    log, gate, deployed = (tmp_path / name for name in ("merging", "gate", "deployed"))
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text(SLOW_GIT.format(log=log, gate=gate, git=shutil.which("git")))
    slow.chmod(0o755)
    repository = new_repository(tmp_path / "r", {"README": "x\n"})
    plan = tmp_path / "plan.yaml"
    plan.write_text(
        PLAN.format(
            repo=repository.path, python=sys.executable, agent=AGENT.replace("\\", "\\\\\\\\"),
            deployed=deployed,
        )
    )  # fmt: skip
    path = f"{slow.parent}{os.pathsep}{os.environ['PATH']}"
    with running_cluster(request, "sqlite", measured=False) as cluster:
        cluster.dispatcher()
        submission = cluster.module("work").submit(plan)
        with (
            cluster.worker("qa,code"),
            cluster.worker("deploy", environ=SHORT_LEASE | {"PATH": path}) as paused,
        ):
            until(log.exists)
            tree = [Process(paused.pid), *Process(paused.pid).children(recursive=True)]
            for each in tree:
                with suppress(NoSuchProcess):  # a short-lived helper of the deploy
                    each.suspend()
            with cluster.worker("deploy"):
                until(lambda: status(cluster.ledger, submission.plan_id) == "completed")
            gate.touch()
            for each in tree:
                with suppress(NoSuchProcess):
                    each.resume()
            until(
                lambda: "was taken away" in said(paused) or "is over: the job is" in said(paused),
            )
            with cluster.ledger.read() as connection:
                branch = plans.find_plan(connection, submission.plan_id)["branch"]
    merges = git("rev-list", "--merges", "--count", branch, cwd=repository.path)
    assert merges.strip() in {"1", b"1"}
    assert deployed.read_text().split() == ["deployed"]


def status(ledger: object, plan_id: str) -> str:
    """The plan's."""
    with ledger.read() as connection:  # type: ignore[attr-defined]
        return str(plans.find_plan(connection, plan_id)["status"])
