"""One check of all lanes of the fleet, as beat has it done."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from vibe_tasks.settings import Settings
from vibe_tasks.store import version
from vibe_tasks.store.engine import Database, open_database
from vibe_tasks.store.workers import list_workers
from vibe_tasks.tasks.fleet.check import check


@pytest.fixture
def ledger(sqlite_url: str) -> Iterator[Database]:
    made = open_database(sqlite_url)
    version.create(made)
    yield made
    made.close()


def test_a_lane_that_gets_another_provisioner_keeps_no_worker_of_the_first(ledger: Database):
    """The old ones are let go before the new one decides, and its memory is its own."""
    check(ledger, Settings(fleet=("code=virtual:2:4",)))
    with ledger.read() as connection:
        assert len(list_workers(connection)) == 2
    for _ in range(2):
        check(ledger, Settings(fleet=("code=process:0:4",)))
    with ledger.read() as connection:
        assert list_workers(connection) == ()


def test_a_provisioner_that_fails_is_logged_when_it_is_asked(
    ledger: Database, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    """Not at each look while it is left alone, which says so all the same."""
    monkeypatch.setenv("NO_PROXY", "*")
    settings = Settings(fleet=("code=webhook:1:4",), fleet_webhook="http://127.0.0.1:1/")
    with caplog.at_level(logging.WARNING):
        verdicts = [check(ledger, settings)[0] for _ in range(3)]
    assert all(each.error for each in verdicts)
    assert len([each for each in caplog.messages if "no answer" in each]) == 1
