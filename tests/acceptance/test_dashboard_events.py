"""The dashboard's events: two buckets under a flood, a server that goes away and comes back,
filters, pauses, and what somebody wrote who means ill.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from tests.browser import ATTACK, Visit, chromium, visiting
from tests.long import FULL
from tests.web import Web, running_web
from vibe_tasks.protocol import NewEvent
from vibe_tasks.store import event_rules, events
from vibe_tasks.store.engine import open_database
from vibe_tasks.tasks import resources

FLOOD = 50_000 if FULL else 6_000
GRAVE = 40
"""Priority events before the flood: they are to stay."""

HEAP = 50_000_000
"""Bytes that the page may hold. Source: phase-11-priority-events, WP3."""

BATCH = 500

AWAY = ("Failed to load resource", "WebSocket connection to")
"""What a browser writes while its server is away."""


UNFOLD = """() => {
  const folded = document.querySelectorAll('.event-detail details:not([open])');
  for (const each of folded) each.open = true;
  return folded.length;
}"""
"""Opens what is folded, until there is nothing more."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One Chromium for all."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """One server for all but those that stop theirs."""
    with running_web(tmp_path_factory.mktemp("web") / "home") as served:
        yield served


def hook(kind: str, text: str, *, session: str = "s", **payload: Any) -> dict[str, Any]:
    """An event as a hook script posts it."""
    return {"source_app": "todo-api", "session_id": session, "hook_event_type": kind,
            "payload": payload, "summary": text}  # fmt: skip


def post(web: Web, new: Sequence[dict[str, Any]]) -> list[int]:
    """Post these, some at once; their ids."""
    ids: list[int] = []
    for place in range(0, len(new), BATCH):
        answer = web.client.post("/api/v1/events", json=new[place : place + BATCH])
        assert answer.status_code == 200, answer.text
        ids += [each["id"] for each in answer.json()["items"]]
    return ids


def held(visit: Visit) -> dict[str, int]:
    """What the page's own statistics of its buckets say."""
    told = visit.text(".buckets-sums").replace(",", "")
    sums = {word: int(number) for number, word in re.findall(r"(\d+) (received|left out)", told)}
    found = {"received": sums["received"], "dropped": sums.get("left out", 0)}
    for name in ("priority", "regular"):
        number = visit.text(f"[data-bucket={name}] strong").partition(" of ")[0]
        found[name] = int(number.replace(",", ""))
    return found


def lines(visit: Visit) -> list[str]:
    """The rows in view, from the top."""
    rows = visit.page.evaluate(
        """() => [...document.querySelectorAll('.window [role=option]:not([hidden])')].map(
            (row) => [Number(row.ariaPosInSet), row.querySelector('.event-line').textContent])"""
    )
    return [text for _, text in sorted(rows)]


def up_to_date(visit: Visit, web: Web) -> None:
    """Wait until the page has what was there before, which comes after it says that it is live."""
    post(web, [hook("Notification", "the newest")])
    visit.until(lambda: lines(visit)[:1] == ["the newest"])


def test_a_flood_pushes_no_priority_event_out_and_the_page_stays_small(
    browser: Any, web: Web
) -> None:
    """Tens of thousands of regular events, some of them large, leave every priority event in its
    bucket; nothing is lost unsaid, few rows exist, and the heap stays under 50 MB.
    """
    with visiting(browser, web, "/events") as visit:
        up_to_date(visit, web)
        before = held(visit)
        post(web, [hook("Notification", f"grave {n}") for n in range(GRAVE)])
        visit.until(lambda: held(visit)["priority"] >= before["priority"] + GRAVE)

        for part in range(10):
            chatter = [
                hook("PreToolUse", f"chatter {part} {n}", tool_input={"command": "x" * 400})
                for n in range(FLOOD // 10 - 1)
            ]
            post(web, [*chatter, hook("PostToolUse", "large", output="y" * 200_000)])
        wanted = before["received"] + GRAVE + FLOOD
        visit.until(lambda: held(visit)["received"] + held(visit)["dropped"] >= wanted, seconds=300)

        after = held(visit)
        assert after["received"] + after["dropped"] == wanted
        assert after["priority"] == before["priority"] + GRAVE
        assert after["regular"] == 2000
        assert visit.page.locator(".window [role=option]").count() < 80
        assert visit.heap() < HEAP

        visit.page.get_by_role("button", name="Priority", exact=True).click()
        visit.until(lambda: lines(visit)[:1] == [f"grave {GRAVE - 1}"])
        visit.page.locator(".window").press("End")
        visit.until(lambda: "grave 0" in lines(visit))
        visit.picture("dashboard-events-flood")


def test_a_large_payload_is_fetched_when_it_is_opened(browser: Any, web: Web) -> None:
    """The page keeps no payload of more than some kilobytes: opening the event shows all of it."""
    number = post(web, [hook("PostToolUse", "the large one", output="z" * 100_000, last="end")])[0]
    with visiting(browser, web, "/events?q=the+large+one") as visit:
        visit.page.get_by_role("option", name="the large one").click()
        detail = visit.page.locator(".event-detail")
        detail.get_by_text("end", exact=True).wait_for()
        assert f"event={number}" in visit.page.url
        detail.get_by_role("button", name="more characters").click()
        assert "z" * 100_000 in detail.inner_text()
        visit.page.keyboard.press("Escape")
        detail.wait_for(state="hidden")


def test_a_page_goes_on_without_gap_or_double_when_its_server_comes_back(
    browser: Any, tmp_path: Path
) -> None:
    """A server that restarts is missed (a banner) and found again (none); what happened meanwhile
    is there, once, and in order.
    """
    with ExitStack() as stack:
        with running_web(tmp_path / "home") as first:
            post(first, [hook("Stop", f"before {n}") for n in range(5)])
            visit = stack.enter_context(visiting(browser, first, "/events", allowed=AWAY))
            visit.until(lambda: "before 0" in lines(visit))
            assert visit.page.locator("#banner").is_hidden()
        visit.page.locator("#banner").get_by_text("cannot be reached").wait_for()
        assert "offline" in visit.text("#link-state")
        while_away(tmp_path / "home" / "ledger.db", 7)
        with running_web(tmp_path / "home", port=first.port) as second:
            visit.page.locator("#banner").wait_for(state="hidden")
            post(second, [hook("Stop", f"after {n}") for n in range(5)])
            visit.until(lambda: "after 4" in lines(visit))
            told = [f"{when} {n}" for when, number in (("before", 5), ("away", 7), ("after", 5))
                    for n in range(number)]  # fmt: skip
            assert lines(visit) == list(reversed(told))


def while_away(path: Path, number: int) -> None:
    """Events of another process, while no server is there."""
    new = [
        NewEvent(source_app="a", session_id="s", hook_event_type="Stop", payload={},
                 summary=f"away {n}")
        for n in range(number)
    ]  # fmt: skip
    with closing(open_database(f"sqlite:///{path}")) as ledger, ledger.begin() as connection:
        events.ingest(connection, new, event_rules.of_settings(resources.settings()))


def test_scripts_in_events_are_shown_and_never_run(browser: Any, web: Web) -> None:
    """Whatever an event's texts hold, in its list, its filters and its details: it is text."""
    evil = {
        "source_app": ATTACK, "session_id": ATTACK, "hook_event_type": ATTACK, "summary": ATTACK,
        "payload": {ATTACK: [ATTACK, {ATTACK: ATTACK}]}, "model_name": ATTACK,
        "chat": [{ATTACK: ATTACK}], ATTACK: ATTACK, "__proto__": {"hacked": 1},
    }  # fmt: skip
    number = post(web, [evil, {**evil, "payload": ATTACK}])[0]
    with visiting(browser, web, f"/events?event={number}") as visit:
        detail = visit.page.locator(".event-detail")
        detail.get_by_role("heading", name="Other fields").wait_for()
        while visit.page.evaluate(UNFOLD):
            visit.page.wait_for_timeout(20)
        assert ATTACK in detail.inner_text()
        visit.until(lambda: visit.page.locator("#filter-type").locator("option").count() > 1)
        visit.page.locator("#filter-type").select_option(value=ATTACK)
        visit.until(lambda: lines(visit) == [ATTACK, ATTACK])
        visit.page.reload()
        visit.until(lambda: lines(visit) == [ATTACK, ATTACK])


def test_filters_find_what_the_buckets_no_longer_have(browser: Any, web: Web) -> None:
    """A session's events are shown also when chatter pushed them out of the page, and an address
    with filters shows the same to everybody.
    """
    post(web, [hook("PreToolUse", f"old {n}", session="quiet") for n in range(3)])
    post(web, [hook("PreToolUse", "noise", session="loud")] * 400)
    with visiting(browser, web, "/events?session=quiet") as visit:
        visit.until(lambda: lines(visit) == ["old 2", "old 1", "old 0"])
        visit.page.locator("#filter-text").fill("old 1")
        visit.until(lambda: lines(visit) == ["old 1"])
        address = visit.page.url
        assert "q=old+1" in address
        visit.page.goto("about:blank")
        visit.page.goto(address)
        visit.until(lambda: lines(visit) == ["old 1"])


def test_a_pause_holds_the_picture_and_new_limits_hold_at_once(browser: Any, web: Web) -> None:
    """While it is paused nothing moves and nothing is lost; smaller buckets let the oldest go, and
    are remembered.
    """
    with visiting(browser, web, "/events") as visit:
        up_to_date(visit, web)
        visit.page.get_by_role("button", name="Pause").click()
        post(web, [hook("PreToolUse", f"new {n}") for n in range(20)])
        go_on = visit.page.get_by_role("button", name="Go on (20 new)")
        go_on.wait_for()
        assert not any(line.startswith("new ") for line in lines(visit))
        go_on.click()
        visit.until(lambda: lines(visit)[:1] == ["new 19"])

        visit.page.get_by_text("Limits", exact=True).click()
        visit.page.locator("#limit-regular").fill("7")
        visit.page.get_by_role("button", name="Apply").click()
        visit.until(lambda: held(visit)["regular"] == 7)
        visit.page.reload()
        visit.until(lambda: visit.text("[data-bucket=regular] strong") == "7 of 7")


def test_an_old_server_is_heard_as_protocol_1(browser: Any, web: Web) -> None:
    """A server that greets nobody and tells no priorities is shown with what its events' names
    say, and as old.
    """
    old = [{**hook("Stop", "of old"), "id": 5, "timestamp": 0}]

    def speak(socket: Any) -> None:
        socket.send(json.dumps({"type": "initial", "data": old}))
        new = {**hook("PreToolUse", "of now"), "id": 6, "timestamp": 1}
        socket.send(json.dumps({"type": "event", "data": new}))

    with visiting(browser, web) as visit:
        visit.page.route_web_socket("**/stream?**", speak)
        visit.page.reload()
        visit.go("/events")
        visit.until(lambda: lines(visit) == ["of now", "of old"])
        assert "old server" in visit.text("#link-state")
        assert (held(visit)["priority"], held(visit)["regular"]) == (1, 1)
