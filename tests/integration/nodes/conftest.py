"""pytest-celery's fixtures for our nodes, one cluster for all tests of a module.

The names are pytest-celery's, so its documentation holds; the scope is wider, as a cluster takes
seconds to start. What a test ended is started again after it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from celery import Celery
from pytest_celery import (
    CeleryBackendCluster,
    CeleryBrokerCluster,
    CeleryTestNode,
    CeleryTestSetup,
    CeleryTestWorker,
    CeleryWorkerCluster,
    RedisTestBackend,
    RedisTestBroker,
)

from tests.cluster import Cluster, running_cluster
from tests.containers.engine import Engine, running_engine
from tests.processes import until

NODE_LEASE = {"VIBE_LEASE_SECONDS": "8"}
"""Short, as workers are killed here; not so short that a loaded machine loses one."""


LEDGERS = ["sqlite"]
if os.environ.get("VIBE_FULL"):  # minutes more; other tests try the same failures on PostgreSQL
    LEDGERS.append("postgres")


@pytest.fixture(scope="module", params=LEDGERS)
def ledger_kind(request: pytest.FixtureRequest) -> str:
    """The database of the ledger; each has a cluster of its own."""
    kind: str = request.param
    return kind


@pytest.fixture(scope="module")
def container_engine(ledger_kind: str) -> Iterator[Engine]:  # noqa: ARG001  one for each ledger
    """Containers or processes; all nodes of a cluster end with it."""
    with running_engine() as engine:
        yield engine


@pytest.fixture(scope="module")
def celery_broker(container_engine: Engine) -> Iterator[RedisTestBroker]:
    """The broker."""
    broker = RedisTestBroker(container_engine.broker())
    yield broker
    broker.teardown()


@pytest.fixture(scope="module")
def celery_broker_cluster(celery_broker: RedisTestBroker) -> CeleryBrokerCluster:
    """One broker."""
    return CeleryBrokerCluster(celery_broker)


@pytest.fixture(scope="module")
def celery_backend_cluster(celery_broker: RedisTestBroker) -> CeleryBackendCluster:
    """Results of jobs come from the ledger; those of plain Celery tasks from the broker's Redis.

    Its teardown is left out: it asks every object of this process whether it is a result, and
    pytest-celery's own tasks, which our application has not, answer that with an error.
    """
    return CeleryBackendCluster(RedisTestBackend(celery_broker.container))


@pytest.fixture(scope="module")
def deployment(
    request: pytest.FixtureRequest, ledger_kind: str, celery_broker: RedisTestBroker
) -> Iterator[Cluster]:
    """The ledger, the producer and a dispatcher, on the nodes' broker."""
    url = celery_broker.config()["host_url"]
    with running_cluster(request, ledger_kind, broker_url=url) as made:
        made.environ.update(NODE_LEASE)
        made.dispatcher()
        yield made


@pytest.fixture(scope="module")
def celery_setup_app(deployment: Cluster) -> Celery:
    """Our application, in the producer's process."""
    return deployment.app


@pytest.fixture(scope="module")
def celery_worker_cluster(
    container_engine: Engine, deployment: Cluster, celery_broker: RedisTestBroker
) -> CeleryWorkerCluster:
    """Two workers."""
    environ = {**deployment.environ, "VIBE_BROKER_URL": celery_broker.config()["url"]}
    return CeleryWorkerCluster(
        *(
            CeleryTestWorker(container_engine.worker(environ, deployment.folder), deployment.app)
            for _ in range(2)
        )
    )


@pytest.fixture(scope="module")
def running_setup(
    celery_worker_cluster: CeleryWorkerCluster,
    celery_broker_cluster: CeleryBrokerCluster,
    celery_backend_cluster: CeleryBackendCluster,
    celery_setup_app: Celery,
) -> Iterator[CeleryTestSetup]:
    """All of it, ready."""
    setup = CeleryTestSetup(
        worker_cluster=celery_worker_cluster,
        broker_cluster=celery_broker_cluster,
        backend_cluster=celery_backend_cluster,
        app=celery_setup_app,
    )
    assert setup.ready(control=True)
    yield setup
    setup.teardown()


@pytest.fixture
def celery_setup(running_setup: CeleryTestSetup) -> Iterator[CeleryTestSetup]:
    """The running cluster; what the test ended is started again."""
    yield running_setup
    nodes = [*running_setup.broker_cluster, *running_setup.worker_cluster]
    for wait in [_restart(node) for node in nodes if _ended(node)]:
        wait()


def _ended(node: CeleryTestNode) -> bool:
    node.container.reload()
    return bool(node.container.status == "exited")


def _restart(node: CeleryTestNode) -> Callable[[], None]:
    """Start the node; what is returned waits until it is ready, as its old log is kept."""
    seen = len(node.logs())
    node.restart()
    return lambda: until(lambda: node.container.ready_prompt in node.logs()[seen:])
