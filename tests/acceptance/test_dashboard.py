"""The dashboard's frame, its overview and its workers, in a real browser on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import func, select

from tests.accessibility import audit
from tests.browser import ATTACK, Visit, chromium, visiting
from tests.lively import LEASE, enliven
from tests.web import Web, running_web
from vibe_tasks.store import breakers, scale_decisions, workers
from vibe_tasks.store.schema import jobs, worker_health
from vibe_tasks.tasks import resources

PAGES = ("/", "/plans", "/jobs", "/approvals", "/dead-letters", "/workers", "/events")

PHONE = (380, 800)

STILL = """() => {
  const place = document.querySelector('main').appendChild(document.createElement('div'));
  for (const name of ['skeleton', 'meter']) {
    const bars = place.appendChild(document.createElement('div'));
    bars.className = name;
    bars.append(document.createElement('span'));
  }
  const [bone, bar] = [...place.querySelectorAll('span')].map((each) => getComputedStyle(each));
  const found = [bone.animationName, bar.transitionProperty];
  place.remove();
  return found;
}"""
"""What moves of bars that wait and of bars that grow."""

REFUSED = ("status of 401", "status of 403", "WebSocket connection to")
"""What a browser writes when a server wants a token."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One Chromium for all."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """One server for all but those with tokens; its ledger is full of life."""
    home = tmp_path_factory.mktemp("web") / "home"
    with running_web(home, lease_seconds=LEASE) as served:
        enliven(served.ledger, resources.wall_clock())
        yield served


def settled(visit: Visit) -> None:
    """All that the page asked for is there."""
    visit.until(lambda: visit.text("#link-state") == "live")
    visit.until(lambda: visit.page.locator(".skeleton").count() == 0)


def test_the_overview_shows_what_runs_waits_and_needs_a_person(browser: Any, web: Web) -> None:
    """Counts, lanes, workers, breakers and the hour's figures are the ledger's, and what needs a
    person stands first, each with the way there.
    """
    with web.ledger.read() as connection:
        wanted = dict(
            connection.execute(select(jobs.c.status, func.count()).group_by(jobs.c.status)).all()
        )
    with visiting(browser, web) as visit:
        settled(visit)
        for status in ("processing", "pending", "blocked", "completed"):
            name = {"processing": "running", "pending": "waiting"}.get(status, status)
            assert visit.text(f".tile.{name} strong") == f"{wanted[status]:,}"
        needs = visit.text(".needs")
        for text in ("dead letters", "Breaker agent:claude is open", "celery@build-4",
                     "No worker serves lane review"):  # fmt: skip
            assert text in needs
        assert visit.text("tr.lane:has-text('deploy') .badge") == "paused"
        assert "completed" in visit.text(".card:has(.chart)")
        assert visit.page.locator(".chart .bar.good").count() > 30
        visit.picture("dashboard-overview")
        visit.page.locator(".need", has_text="dead letters").click()
        visit.page.get_by_role("heading", level=1, name="Dead letters").wait_for()
    with visiting(browser, web, dark=True) as visit:
        settled(visit)
        visit.picture("dashboard-overview-dark")


def test_a_chart_is_read_with_the_keyboard_and_as_a_table(browser: Any, web: Web) -> None:
    """Arrow keys read single values, and the same values stand in a table."""
    with visiting(browser, web) as visit:
        settled(visit)
        chart = visit.page.locator(".chart-drawing").first
        visit.until(lambda: visit.page.locator(".chart .bar").count() > 0)
        chart.focus()
        chart.press("Home")
        first = visit.text(".chart-reading")
        chart.press("ArrowRight")
        assert "completed" in first
        assert first != visit.text(".chart-reading")
        visit.page.get_by_text("As a table").first.click()
        visit.until(lambda: visit.page.locator(".chart-rows tbody tr").count() > 30)


def test_a_lane_is_paused_and_resumed(browser: Any, web: Web) -> None:
    """One button pauses a lane, and opens it again; the page says what it means."""
    with visiting(browser, web) as visit:
        settled(visit)
        visit.page.get_by_role("button", name="Pause lane qa").click()
        visit.page.get_by_role("button", name="Resume lane qa").wait_for()
        assert "nothing new starts" in visit.text("#toasts")
        visit.page.get_by_role("button", name="Resume lane qa").click()
        visit.page.get_by_role("button", name="Pause lane qa").wait_for()


def test_a_worker_is_drained_after_a_question(browser: Any, web: Web) -> None:
    """Draining asks first; no changes nothing, yes drains that worker alone."""
    with visiting(browser, web, "/workers") as visit:
        settled(visit)
        assert "celery@build-0" not in visit.text(".workers")
        visit.page.get_by_label("Show those that left").check()
        visit.page.locator(".worker", has_text="celery@build-0").wait_for()
        assert "breaker agent:claude is open" in visit.text(".decisions")
        visit.picture("dashboard-workers")

        drain = visit.page.get_by_role("button", name="Drain celery@build-2")
        drain.click()
        visit.page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
        assert standing(web, "celery@build-2") == "online"
        drain.click()
        visit.page.get_by_role("dialog").get_by_role("button", name="Drain").click()
        visit.page.locator(".worker", has_text="celery@build-2").get_by_text("draining").wait_for()
        assert standing(web, "celery@build-2") == "draining"
        assert standing(web, "celery@build-1") == "online"


def standing(web: Web, worker: str) -> str:
    """What the registry says of a worker."""
    wanted = select(worker_health.c.status).where(worker_health.c.worker_id == worker)
    with web.ledger.read() as connection:
        return str(connection.execute(wanted).scalars().first())


def test_everything_can_be_done_with_the_keyboard(browser: Any, web: Web) -> None:
    """The first stop skips to the content; g and a letter go to a page; ? shows the keys; within
    the events arrows move, Enter opens and Escape closes.
    """
    with visiting(browser, web) as visit:
        settled(visit)
        keyboard = visit.page.keyboard
        keyboard.press("Tab")
        assert visit.page.evaluate("document.activeElement.className") == "skip"
        keyboard.press("Enter")
        assert visit.page.evaluate("document.activeElement.id") == "main"
        keyboard.press("?")
        keys = visit.page.get_by_role("dialog")
        assert "Dead letters" in keys.inner_text()
        keyboard.press("Escape")
        keys.wait_for(state="detached")
        keyboard.press("g")
        keyboard.press("e")
        visit.page.get_by_role("heading", level=1, name="Events").wait_for()
        visit.page.locator(".window [role=option]").first.wait_for()
        visit.page.locator(".window").focus()
        keyboard.press("ArrowDown")
        keyboard.press("ArrowDown")
        second = visit.page.locator("[role=option][aria-posinset='2']")
        assert second.get_attribute("aria-selected") == "true"
        ring = "getComputedStyle(document.activeElement).outlineStyle"
        assert visit.page.evaluate(ring) == "solid"
        keyboard.press("Enter")
        visit.page.locator(".event-detail dl").wait_for()
        visit.picture("dashboard-events")
        keyboard.press("Escape")
        visit.page.locator(".event-detail").wait_for(state="hidden")
        pause = visit.page.locator("button[aria-pressed]", has_text="Pause")
        visit.page.locator(".window").focus()
        keyboard.press("Space")  # opens the row, as Enter does
        visit.page.locator(".event-detail dl").wait_for()
        assert pause.get_attribute("aria-pressed") == "false"
        visit.page.get_by_role("button", name="Close the event").focus()
        keyboard.press("Space")
        visit.page.locator(".event-detail").wait_for(state="hidden")
        assert pause.get_attribute("aria-pressed") == "false"
        keyboard.press("/")
        keyboard.type("g w ?")  # letters in a field are letters
        assert visit.page.locator("#filter-text").input_value() == "g w ?"
        assert "Events" in visit.text("main h1")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_pages_are_named_and_have_contrast(browser: Any, web: Web, dark: bool) -> None:
    """Every control has a name, headings are in order, ids are unique, and texts have a contrast
    of 4.5 to 1 in both themes.
    """
    with visiting(browser, web, dark=dark) as visit:
        found = {}
        for path in PAGES:
            visit.go(path)
            settled(visit)
            found[path] = audit(visit.page)
        assert found == {path: [] for path in PAGES}


def test_a_phone_needs_no_sideways_scrolling(browser: Any, web: Web) -> None:
    """At 380 pixels every page is one column within the screen, and the menu opens and closes."""
    with visiting(browser, web, size=PHONE, has_touch=True) as visit:
        for path in PAGES:
            visit.go(path)
            settled(visit)
            assert visit.page.evaluate("document.documentElement.scrollWidth") <= PHONE[0], path
        menu = visit.page.get_by_role("button", name="Menu")
        assert visit.page.get_by_role("link", name="Workers").is_hidden()
        menu.click()
        visit.page.get_by_role("link", name="Workers").click()
        visit.page.get_by_role("heading", level=1, name="Workers").wait_for()
        assert menu.get_attribute("aria-expanded") == "false"
        visit.go("/")
        settled(visit)
        visit.picture("dashboard-phone")


def test_the_theme_is_the_systems_until_somebody_chooses(browser: Any, web: Web) -> None:
    """The switch goes through system, light and dark, and is remembered for the next visit.
    Who asks the system for less motion gets none.
    """
    scheme = "getComputedStyle(document.documentElement).colorScheme"
    with visiting(browser, web, dark=True, reduced_motion="reduce") as visit:
        assert visit.page.evaluate(STILL) == ["none", "none"]
        switch = visit.page.locator("#theme")
        assert visit.page.evaluate(scheme) == "light dark"
        switch.click()
        assert (switch.inner_text(), visit.page.evaluate(scheme)) == ("Theme: light", "light")
        switch.click()
        visit.page.reload()
        assert (switch.inner_text(), visit.page.evaluate(scheme)) == ("Theme: dark", "dark")


def test_scripts_in_names_and_reasons_are_shown_and_never_run(browser: Any, tmp_path: Any) -> None:
    """Names of workers, lanes and labels, reasons of breakers and decisions are texts."""
    with running_web(tmp_path / "home", lease_seconds=LEASE) as served:
        with served.ledger.begin() as connection:
            workers.register(
                connection, workers.Registered(worker=ATTACK, host=ATTACK, process="1"), [ATTACK],
                tier=ATTACK, capacity=2, version=ATTACK, labels=[ATTACK],
            )  # fmt: skip
            breakers.trip(connection, ATTACK, 60, ATTACK)
            scale_decisions.write(connection, scale_decisions.Entry(
                lane=ATTACK, provisioner=ATTACK, before=1, target=2, reason=ATTACK, figures={},
                state={}, error=ATTACK,
            ))  # fmt: skip
        for path, place in (("/workers", ".workers"), ("/", ".needs"), ("/workers", ".decisions")):
            with visiting(browser, served, path) as visit:
                visit.until(lambda: ATTACK in visit.text(place))  # noqa: B023  waits at once


def test_a_server_with_tokens_asks_for_one_and_keeps_it_for_the_tab(
    browser: Any, tmp_path: Any
) -> None:
    """A wrong token is asked for again; the right one opens page and stream, is in no address and
    in no storage that outlives the tab; one that may only read is told so.
    """
    tokens = {"api_token": "secret", "api_tokens": "read:guest:look"}
    with running_web(tmp_path / "home", lease_seconds=LEASE, **tokens) as served:
        enliven(served.ledger, resources.wall_clock())
        with visiting(browser, served, "/workers", allowed=REFUSED) as visit:
            for token in ("wrong", "look"):
                field = visit.page.get_by_label("API token")
                field.fill(token)
                field.press("Enter")
            settled(visit)
            drain = visit.page.get_by_role("button", name="Drain celery@build-2")
            drain.click()
            visit.page.get_by_role("dialog").get_by_role("button", name="Drain").click()
            visit.page.locator("#toasts").get_by_text("operate").wait_for()
            assert visit.page.evaluate("Object.values(localStorage).join()") == ""
            assert visit.page.context.cookies() == []
            visit.page.reload()
            settled(visit)
            assert visit.page.get_by_role("dialog").count() == 0
