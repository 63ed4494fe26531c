"""`vibe lanes` on a real ledger."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.homes import own_home
from tests.ledgers import new_job, submit
from vibe_tasks.cli.main import cli
from vibe_tasks.store import jobs, lanes, workers
from vibe_tasks.store.engine import Database
from vibe_tasks.store.workers import Registered
from vibe_tasks.tasks import resources


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """The ledger of a home of its own, where one worker serves the lane `code`."""
    with own_home(tmp_path, monkeypatch):
        opened = resources.ledger()
        with opened.begin() as connection:
            known = Registered(worker="w", host=None, process=None)
            workers.register(connection, known, ["code"], tier="standard", capacity=1)
        yield opened


def vibe(*arguments: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(cli, ["lanes", *arguments], prog_name="vibe")


def listed(lane: str) -> dict[str, Any]:
    """What `list --json` says of a lane."""
    result = vibe("list", "--json")
    assert result.exit_code == 0, result.output
    (found,) = (each for each in json.loads(result.stdout) if each["lane"] == lane)
    return dict(found)


def test_a_lane_is_paused_and_resumed(ledger: Database) -> None:
    """Doing it twice is no error and said."""
    submit(ledger, new_job(id="a"))
    assert vibe("pause", "code").output == "lane code is paused\n"
    assert vibe("pause", "code").output == "lane code was paused already\n"
    with ledger.begin() as connection:
        assert jobs.claim(connection, "a", worker="w", lease=30) is None
    assert (listed("code")["paused"], listed("code")["held"]) == (True, 1)
    assert "paused" in vibe("list").stdout
    assert vibe("resume", "code").output == "lane code goes on\n"
    assert vibe("resume", "code").output == "lane code was not paused\n"
    assert listed("code")["paused"] is False


def test_limits_are_set_and_removed_one_by_one(ledger: Database) -> None:  # noqa: ARG001
    """What is not named stays as it is."""
    assert vibe("limit", "code", "--concurrency", "3").output == "lane code: 3 at once\n"
    assert vibe("limit", "code", "--rate", "100/m").output == "lane code: 3 at once, 100/m\n"
    assert (listed("code")["concurrency"], listed("code")["rate"]) == (3, "100/m")
    assert vibe("limit", "code", "--concurrency", "none").output == "lane code: 100/m\n"
    assert vibe("limit", "code", "--rate", "none").output == "lane code: no limits\n"
    assert (listed("code")["concurrency"], listed("code")["rate"]) == (None, None)


def test_rules_of_scaling_are_set_and_removed_one_by_one(ledger: Database) -> None:
    """They are shown, and cost the lane's claims nothing: it stays one that nobody governs."""
    told = vibe("limit", "code", "--max", "12", "--scale-up", "20", "--scale-after", "90").output
    words = "at most 12 workers, up above 20, down after 90 s"
    assert told == f"lane code: scaled {words}\n"
    assert words in vibe("list").stdout
    told = vibe("limit", "code", "--rate", "5/s", "--scale-up", "none", "--scale-age", "2.5").output
    assert told == "lane code: 5/s, scaled at most 12 workers, up after 2.5 s, down after 90 s\n"
    vibe("limit", "code", "--rate", "none")
    set_ = {name: value for name, value in listed("code")["scaling"].items() if value is not None}
    assert set_ == {"max_size": 12, "up_age": 2.5, "down_after": 90.0}
    with ledger.read() as connection:
        assert lanes.governed(connection) == frozenset()
    last = vibe("limit", "code", "--max", "none", "--scale-age", "none", "--scale-after", "none")
    assert last.output == "lane code: no limits\n"
    assert listed("code")["scaling"] is None


def test_the_lanes_of_every_deployment_are_listed(ledger: Database) -> None:  # noqa: ARG001
    """Also while nothing is in them."""
    assert [listed(lane)["running"] for lane in ("code", "qa", "deploy", "control")] == [0] * 4


def test_a_lane_that_nobody_serves_is_pointed_out(ledger: Database) -> None:  # noqa: ARG001
    """It may be a misspelt name, or its workers come later: it is done, and said."""
    result = vibe("pause", "cod")
    assert result.exit_code == 0
    assert result.stderr == "vibe: no worker that is online serves lane cod\n"
    assert listed("cod")["paused"] is True


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("pause", "a lane"), "lane must be"),
        (("limit", "a,b", "--rate", "1/s"), "lane must be"),
        (("limit", "code"), "give --concurrency, --rate, or a rule of scaling"),
        (("limit", "code", "--min", "3", "--max", "2"), "need --min <= --max, got 3 and 2"),
        (("limit", "code", "--scale-up", "1", "--scale-down", "3"), "--scale-down must be at most"),
        (("limit", "code", "--scale-up", "9" * 20), "--scale-up must be from 0 to below"),
        (("limit", "code", "--scale-up", "2.5"), "--scale-up must be a whole number, or none"),
        (("limit", "code", "--scale-after", "nan"), "--scale-after must be a number of sec"),
        (("limit", "code", "--concurrency", "0"), "--concurrency must be a number from 1"),
        (("limit", "code", "--concurrency", "2.5"), "--concurrency must be a number from 1"),
        (("limit", "code", "--concurrency", "9" * 30), "--concurrency must be a number from 1"),
        (("limit", "code", "--rate", "10"), "such as 10/m, got '10'"),
        (("limit", "code", "--rate", "0/s"), "such as 10/m, got '0/s'"),
        (("limit", "code", "--rate", "99999999999/s"), "too high to be a limit"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    ledger: Database, arguments: tuple[str, ...], words: str
) -> None:
    """Exit code 2, and nothing is written."""
    result = vibe(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("vibe: ")
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1
    with ledger.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM lanes").scalar() == 0
