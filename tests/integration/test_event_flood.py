"""Hook clients that know no version of the protocol, at full speed: every event arrives."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from time import perf_counter
from typing import Any

import pytest

from tests.long import FULL
from tests.streams import HIGH, KINDS, event_of, hook, watching
from tests.web import Web, running_web

NUMBER = 50_000 if FULL else 3_000
CONNECTIONS = 8
SESSIONS = 4
"""Of each connection, whose events take turns."""

LARGE = 200_000
TEXTS = (
    "plain", "grüße", "日本語のイベント", "🦊🚀", "\u202e\u0625\u0634\u0639\u0627\u0631",
    'quote " \\ \n \x7f', "<script>alert(1)</script>",
)  # fmt: skip


def sent(connection: int, place: int) -> dict[str, Any]:
    """The event of this place among those of a connection: always the same."""
    dice = random.Random(connection * 1_000_003 + place)
    kind = dice.choice(KINDS) if dice.random() < 0.95 else f"Unheard{dice.randrange(50)}"
    text = dice.choice(TEXTS)
    event = event_of(
        source_app=dice.choice(("shop", "crawler", "сайт")),
        session_id=f"{connection}-{place % SESSIONS}", hook_event_type=kind,
        payload={"place": place, "tool_name": "Bash", "tool_input": {"command": text}},
    )  # fmt: skip
    if dice.random() < 0.5:
        event["timestamp"] = 1_750_000_000_000 + place
    if dice.random() < 0.3:
        event |= {"summary": text, "model_name": "m-1", "chat": [{"role": "user", "text": text}]}
    if dice.random() < 0.2:
        event |= {"humanInTheLoop": {"question": text, "type": "choice"}, f"own_{place}": place}
    if dice.random() < 0.004:
        event["payload"]["output"] = text[0] * (LARGE // len(text[0].encode()))
    return event


def post(web: Web, connection: int) -> None:
    """All events of one connection, one after the other."""
    with hook(web.url) as posting:
        for place in range(NUMBER // CONNECTIONS):
            status, stored = posting.post(sent(connection, place))
            assert (status, stored["payload"]["place"]) == (200, place)


@pytest.mark.timeout(1200)
def test_every_event_of_old_clients_arrives_in_the_order_of_its_session(tmp_path: Path) -> None:
    """All documented kinds and unknown ones, with fields of their own, in many scripts, large, with
    and without a time: a client that listens gets each once, as it was sent; fifty thousand with
    VIBE_FULL=1.
    """
    arrived: dict[int, Mapping[str, Any]] = {}
    with running_web(tmp_path / "home") as web, watching(web.url) as client:
        assert client.next() == {"type": "initial", "data": []}

        def listen() -> None:
            for event in client.events(NUMBER):
                assert event["id"] not in arrived
                arrived[event["id"]] = event

        listener = Thread(target=listen)
        listener.start()
        began = perf_counter()
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            list(pool.map(lambda each: post(web, each), range(CONNECTIONS)))
        seconds = perf_counter() - began
        listener.join(120)
    print(f"{NUMBER} events in {seconds:.1f} s: {NUMBER / seconds:.0f} a second")
    assert list(arrived) == sorted(arrived)
    assert len(arrived) == NUMBER
    places = defaultdict[str, list[int]](list)
    for event in arrived.values():
        place, session = event["payload"]["place"], event["session_id"]
        places[session].append(place)
        expected = sent(int(session.partition("-")[0]), place)
        level = int(expected["hook_event_type"] in HIGH)
        assert event == {"timestamp": event["timestamp"], **expected, "id": event["id"],
                         "priority": level}  # fmt: skip
    assert len(places) == CONNECTIONS * SESSIONS
    assert all(each == sorted(each) for each in places.values())
