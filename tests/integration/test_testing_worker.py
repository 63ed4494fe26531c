"""The fixture for teams' own tests that runs real processes: `vibe_worker`."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import psutil
import pytest

from tests.processes import until
from vibe_tasks import app
from vibe_tasks.tasks import resources
from vibe_tasks.testing import worker as workers
from vibe_tasks.testing.eager import VibeEager
from vibe_tasks.testing.plugin import vibe_eager, vibe_empty, vibe_worker
from vibe_tasks.testing.worker import VibeWorker, job_modules

__all__ = ["vibe_eager", "vibe_empty", "vibe_worker"]

SHOP = """
import os
from pathlib import Path
from vibe_tasks import job

@job(lane="mail", max_retries=2)
def send(to):
    return [to, os.getpid(), os.environ["VIBE_WORKER_LABELS"]]

@job
def open_gate(gate):
    return Path(gate).exists() or 1 / 0

@job
def die():
    os._exit(1)
"""

NAMES = ("json", "no.such.module", "celery.canvas", "vibe_tasks.tasks.work")

RAN: list[int] = []
"""Processes of the stack."""


@pytest.fixture(scope="module")
def vibe_settings() -> dict[str, object]:
    """As a team gives some."""
    return {"worker_labels": ("printer",), "imports": "shop_of_a_team"}


def surroundings() -> tuple[object, ...]:
    """What a worker of tests changes in this process while it runs."""
    own = {name: value for name, value in os.environ.items() if name.startswith("VIBE_")}
    return own, os.environ.get("PYTHONPATH"), app.conf.broker_url


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """A module with jobs, where only this process finds it; sees that the worker leaves nothing."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "shop_of_a_team.py").write_text(SHOP)
    known = set(app.tasks)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        # The worker is to import this module alone, and not whatever else has been tested.
        patch.setattr(workers, "job_modules", lambda _tasks: {"shop_of_a_team"})
        before = surroundings()
        yield importlib.import_module("shop_of_a_team")
        # The worker was stopped before this.
        assert surroundings() == before
    until(lambda: not any(map(psutil.pid_exists, RAN)))
    for name in set(app.tasks) - known:
        del app.tasks[name]


@pytest.fixture(scope="module")
def worker(shop: ModuleType, request: pytest.FixtureRequest) -> VibeWorker:
    """One for all tests, once the module is there."""
    assert shop
    found: VibeWorker = request.getfixturevalue("vibe_worker")
    RAN.extend(found._crew.stack.pids.values())
    assert len(RAN) == 3
    return found


def test_a_call_is_done_by_another_process(worker: VibeWorker, shop: ModuleType):
    """A real one, which has the tests' settings and finds their modules, in a lane of its own."""
    result = shop.send.delay("ada")
    to, process, labels = result.get(timeout=60)
    assert (to, labels) == ("ada", "printer")
    assert process != os.getpid()
    assert worker.job(result)["worker"].startswith("embedded-")
    assert worker.wait(result)["status"] == "completed"


def test_a_dead_process_is_a_failure_and_the_last_one_a_dead_letter(
    worker: VibeWorker, shop: ModuleType, tmp_path: Path
):
    """With the waits of retries, shortened; the job is told with all that happened to it."""
    gate = tmp_path / "gate"
    flaky, dead = shop.open_gate.delay(str(gate)), shop.die.delay()
    until(lambda: bool(worker.errors(flaky)))
    gate.touch()
    assert worker.wait(flaky, "completed")["result"] is True
    assert worker.errors(flaky)[0] == "ZeroDivisionError: division by zero"
    assert worker.wait(dead)["status"] == "failed"
    assert [each["id"] for each in worker.dead_letters()] == [dead.id]
    assert all("process" in each for each in worker.errors(dead))


def test_what_takes_too_long_is_said_with_the_workers_last_words(
    worker: VibeWorker, shop: ModuleType
):
    """A test that waits in vain fails with a reason, and not by a time limit of somebody's."""
    put_off = shop.send.apply_async(("bob",), countdown=3600)
    with pytest.raises(
        pytest.fail.Exception, match=r"is pending after 0.1 s; its log ends with:\n"
    ):
        worker.wait(put_off, timeout=0.1)
    assert (worker.logs / "worker.log").exists()
    assert workers.said(worker.logs / "no.log") == ""


def test_a_test_beside_it_has_a_ledger_of_its_own(
    worker: VibeWorker, vibe_eager: VibeEager, shop: ModuleType
):
    """Within one module; afterwards the worker's is the one again."""
    result = shop.send.delay("eve")
    assert result.get(timeout=60)[1] == os.getpid()
    assert [each["id"] for each in vibe_eager.jobs()] == [result.id]
    assert result.id not in {each["id"] for each in worker.jobs()}


def test_after_an_eager_test_the_worker_works_on(worker: VibeWorker, shop: ModuleType):
    """The application is back at the worker's broker."""
    assert resources.database_url() == str(worker.database.engine.url)
    assert shop.send.delay("joe").get(timeout=60)[1] != os.getpid()


def test_the_modules_of_jobs_are_found():
    """Those that another process can import by name, and none of Celery's or ours."""
    made = [type("Task", (), {"__module__": name})() for name in NAMES]
    assert job_modules(made) == {"json"}
