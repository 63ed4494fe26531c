"""`dev.delay()`: work for an agent without a plan file; and the options that `@job` refuses."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import Cluster, ready, running_cluster
from tests.processes import until
from tests.repositories import new_repository
from vibe_tasks.errors import InputError
from vibe_tasks.store import plans

AGENT = "from pathlib import Path; Path('greeting.txt').write_text('hello\\n')"


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A worker of the pipeline's lanes, and a dispatcher."""
    with running_cluster(request, "sqlite", measured=False) as made:
        worker = made.start_worker("deploy,qa,code", processes=2)
        made.dispatcher()
        ready(worker)
        yield made


def dev(cluster: Cluster) -> Any:
    """The task, in the cluster's application."""
    return cluster.app.tasks["vibe.dev"]


def test_a_call_goes_the_whole_way(cluster: Cluster, tmp_path: Path) -> None:
    """The result is the dev job's; qa and deploy follow, and the change is on its branch."""
    repository = new_repository(tmp_path / "r", {"README": "x\n"})

    result = dev(cluster).delay(
        title="Say hello", repo=str(repository.path), files=["greeting.txt"],
        agent=[sys.executable, "-c", AGENT], checks=["grep hello greeting.txt"],
    )  # fmt: skip

    done = result.get(timeout=60)
    assert done["changed"]
    plan_id = cluster.row(result.id)["plan_id"]

    def ended() -> bool:
        with cluster.ledger.read() as connection:
            return plans.find_plan(connection, plan_id)["status"] == "completed"

    until(ended)
    with cluster.ledger.read() as connection:
        branch = plans.find_plan(connection, plan_id)["branch"]
    assert done["branch"] == branch
    merged = repository.branch_commit(branch)
    assert merged
    assert repository.changed_between(repository.resolve("main"), merged) == ("greeting.txt",)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"title": "x"}, "needs an agent"),
        ({"title": "x", "agent": ["true"], "colour": "red"}, "colour"),
        ({"agent": ["true"]}, "title"),
        ({"title": "x", "agent": ["true"], "effort": 9}, "effort"),
        ({"title": "x", "agent": ["true"], "repo": "nowhere"}, "nowhere"),
    ],
)
def test_a_wrong_call_is_refused_at_the_producer(
    cluster: Cluster, arguments: dict[str, Any], words: str
) -> None:
    """Nothing is written for a call that could not be done."""
    before = cluster.count_jobs()

    with pytest.raises(InputError, match=words):
        dev(cluster).delay(**arguments)

    assert cluster.count_jobs() == before


def test_celerys_options_mean_nothing_to_a_plan(cluster: Cluster) -> None:
    """A countdown for a call that becomes a plan is refused, not ignored."""
    with pytest.raises(InputError, match="countdown"):
        dev(cluster).apply_async(kwargs={"title": "x", "agent": ["true"]}, countdown=5)


@pytest.mark.parametrize("name", ["vibe.fix", "vibe.qa", "vibe.deploy"])
def test_the_other_stages_belong_to_a_plan(cluster: Cluster, name: str) -> None:
    """Called by themselves they have nothing to work on."""
    with pytest.raises(InputError, match=r"does a job of a plan"):
        cluster.app.tasks[name].run()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"effort": 0}, "effort"),
        ({"max_retries": 0}, "max_retries"),
        ({"time_limit": 0}, "time_limit"),
        ({"priority": "urgentest"}, "urgentest"),
        ({"lane": "no lane"}, "no lane"),
    ],
)
def test_a_job_with_a_wrong_option_is_refused_where_it_is_written(
    cluster: Cluster, options: dict[str, Any], words: str
) -> None:
    """`@job(effort=0)` fails at import, with the option's name."""
    job = cluster.module("job").job

    with pytest.raises(InputError, match=words):
        job(**options)(lambda: None)
