"""An endpoint that fails most calls is left alone until it recovers, and the plan completes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from threading import Event, Thread
from typing import Any

from tests.acceptance.plan_folder import agent_of, make_plan, outcomes
from tests.acceptance.vibe_command import Vibe
from tests.processes import until
from vibe_tasks.tasks import resources

ASKING = Path(__file__).with_name("asking_agent.py")
PATTERN = (503, 503, 200, 503, 200)
"""Six of ten calls fail, from the first on."""

TASKS = [{"id": f"t{number}", "prompt": f"ask {number}"} for number in range(12)]
NO_BREAKER = {"VIBE_BREAKER_MINIMUM_CALLS": "1000000"}


@dataclass
class Endpoint:
    """The server and what reached it.

    Attributes:
        calls: When each call came, in epoch seconds.
        recovered: Set, it answers every call.
    """

    url: str = ""
    calls: list[float] = field(default_factory=list)
    recovered: Event = field(default_factory=Event)


@contextmanager
def endpoint() -> Iterator[Endpoint]:
    """An endpoint on a free port."""
    made, numbers = Endpoint(), count()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.calls.append(resources.wall_clock())
            status = 200 if made.recovered.is_set() else PATTERN[next(numbers) % len(PATTERN)]
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}/"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join(60)


def plan_for(folder: Path, url: str) -> Path:
    """Twelve tasks whose agent asks this endpoint, with patience."""
    folder.mkdir(exist_ok=True)
    return make_plan(
        folder, TASKS, agent=agent_of(ASKING, url), script=ASKING,
        defaults={"max_retries": 50, "retry_base": 0.05},
    )  # fmt: skip


def test_the_breaker_spares_an_endpoint_that_fails(tmp_path: Path):
    """It opens; while it is open fewer than a fifth of the calls arrive that arrive without it;
    when the endpoint recovers it closes, and every task is done with no attempt lost to waiting.
    """
    spared, pestered = Vibe(folder=tmp_path / "spared"), Vibe(folder=tmp_path / "pestered")
    with endpoint() as sick, endpoint() as other:
        plan = plan_for(spared.folder, sick.url)
        without = plan_for(pestered.folder, other.url)
        with spared.started("run", plan, "--json", VIBE_BREAKER_TIMEOUT_SECONDS="15") as run:
            opened = "SELECT min(timestamp) FROM events WHERE hook_event_type = 'BREAKER_OPENED'"
            until(lambda: spared.rows(opened) not in ([], [(None,)]))
            report = pestered.run("run", without, "--json", **NO_BREAKER).report
            assert set(outcomes(report).values()) == {"deployed"}
            since = spared.rows(opened)[0][0] / 1000
            # While the other plan was done to its end, this endpoint was down all the time.
            while_open = sum(1 for at in list(sick.calls) if at > since)
            assert while_open < len(other.calls) / 5, (while_open, len(other.calls))
            sick.recovered.set()
            out, err = run.communicate(timeout=110)
        assert run.returncode == 0, (out, err)
        assert spared.rows("SELECT state FROM breakers") == [("closed",)]
        closed = "SELECT count(*) FROM events WHERE hook_event_type = 'BREAKER_CLOSED'"
        assert spared.rows(closed)[0][0] >= 1
        ((failures,),) = spared.rows("SELECT sum(retry_count) FROM jobs")
        assert failures == len(sick.calls) - len(TASKS)
