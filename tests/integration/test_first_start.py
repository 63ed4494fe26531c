"""The first processes of a new ledger."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import pytest

from tests.ledgers import new_job, row, submit
from vibe_tasks.store import version
from vibe_tasks.store.engine import open_database
from vibe_tasks.store.forking import Uses
from vibe_tasks.tasks import resources

CROWD = 8


class Uneasy(Uses):
    """Before one of the uses of a database something happens elsewhere."""

    def __init__(self, which: int, happens: Callable[[], None]) -> None:
        super().__init__()
        self._left = which
        self._happens = happens

    def __enter__(self) -> None:
        self._left -= 1
        if self._left == 0:
            self._happens()
        super().__enter__()


def test_of_many_that_come_at_once_one_makes_the_schema(tmp_path: Path) -> None:
    """The others find it made."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    together = Barrier(CROWD)

    def come() -> None:
        opened = open_database(url)
        together.wait(60)
        resources.verified(opened)
        opened.close()

    with ThreadPoolExecutor(CROWD) as pool:
        for done in [pool.submit(come) for _ in range(CROWD)]:
            done.result(timeout=60)
    ledger = resources.verified(open_database(url))
    submit(ledger, new_job(id="a"))
    assert row(ledger, "a")["status"] == "pending"
    ledger.close()


@pytest.mark.parametrize("moment", range(1, 6))
def test_who_finds_it_empty_may_find_it_made_a_moment_later(tmp_path: Path, moment: int) -> None:
    """Whichever look at the database it is before which another process makes the schema."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    other = open_database(url)
    mine = replace(open_database(url), uses=Uneasy(moment, lambda: version.create(other)))
    submit(resources.verified(mine), new_job(id="a"))
    assert row(other, "a")["status"] == "pending"
    mine.close()
    other.close()
