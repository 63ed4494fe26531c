"""Producers whose belief about the workers is given: what they send goes to one worker's queue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from tests.cluster import Cluster
from vibe_tasks.stack.children import Child


def name_of(worker: Child) -> str:
    """The name by which a worker of a cluster registers."""
    argv = worker.program.argv
    return argv[argv.index("-n") + 1]


@contextmanager
def believing_in(cluster: Cluster, worker: Child) -> Iterator[None]:
    """This process sends all to the own queue of this worker, however full that one is."""
    router = cluster.module("routing.router")
    route = router.Route(
        queue=cluster.module("queues").own_queue(name_of(worker)),
        header={"choice": name_of(worker), "why": "it is believed in"},
    )

    def routes(_app: Any, _ledger: Any, jobs: Sequence[Any]) -> list[Any]:
        return [route for _ in jobs]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(router, "routes", routes)
        yield


def waiting_for(cluster: Cluster, worker: Child) -> int:
    """Messages in the own queue of this worker."""
    return cluster.messages(cluster.module("queues").own_queue(name_of(worker)))
