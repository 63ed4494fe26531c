"""A real Chromium that looks at the dashboard of a real server.

Whoever looks is told what must never be: an error in a script, something that the content security
policy stopped, a request to another address, a script that somebody wrote into a text.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

from tests.lacking import unavailable
from tests.quiet_network import unchanged_network
from tests.web import Web

try:
    from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright
except ImportError:  # a desk may do without; `chromium` says so
    sync_playwright = None  # type: ignore[assignment]

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    "--js-flags=--expose-gc",
)  # fmt: skip

PATIENCE = 60_000
"""Milliseconds that an element may take to appear; what passes takes one or two hundred."""

PICTURES = Path(__file__).parent.parent / "docs" / "images"

PICTURED = bool(os.environ.get("VIBE_SCREENSHOTS"))
"""Whether the pictures of the documents are made; a server of a test has no such setting."""

ATTACK = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>\'"javascript:1'
"""For any text that somebody else may have written."""

_WATCH = """
document.addEventListener('securitypolicyviolation',
  (event) => console.error('CSP stopped', event.violatedDirective, event.blockedURI));
"""


@dataclass(kw_only=True)
class Visit:
    """A page of the dashboard, and what went wrong while it was open.

    Attributes:
        page: Playwright's page.
        web: The server.
        wrong: What must not have happened.
    """

    page: Page
    web: Web
    wrong: list[str] = field(default_factory=list)

    def go(self, path: str) -> None:
        """Show this page, such as `/events`, and wait for its heading."""
        self.page.goto(f"{self.web.url}/#{path}")
        self.page.wait_for_selector("main h1")

    def text(self, selector: str) -> str:
        """What the first of these elements says."""
        return self.page.locator(selector).first.inner_text()

    def until(self, condition: Callable[[], bool], *, seconds: float = 90.0) -> None:
        """Wait for something; the page goes on meanwhile."""
        end = monotonic() + seconds
        while not condition():
            assert monotonic() < end, f"not within {seconds} s: {condition}"
            self.page.wait_for_timeout(50)

    def heap(self) -> int:
        """Bytes that its scripts hold after the garbage is collected."""
        session = self.page.context.new_cdp_session(self.page)
        session.send("HeapProfiler.collectGarbage")
        used = session.send("Runtime.getHeapUsage")
        session.detach()
        return int(used["usedSize"])

    def picture(self, name: str) -> None:
        """A screenshot for the documents; only where VIBE_SCREENSHOTS asks for them."""
        if not PICTURED:
            return
        PICTURES.mkdir(exist_ok=True)
        self.page.evaluate("scrollTo(0, 0)")
        self.page.wait_for_timeout(400)  # what moves comes to rest: nothing is asserted on this
        self.page.screenshot(path=PICTURES / f"{name}.png", animations="disabled")


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser; skips at a desk and fails in CI where there is none."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None or sync_playwright is None:
        unavailable("no Chromium" if program is None else "playwright is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def visiting(
    browser: Browser,
    web: Web,
    path: str = "/",
    *,
    size: tuple[int, int] = (1280, 860),
    dark: bool = False,
    allowed: Sequence[str] = (),
    **context: Any,
) -> Iterator[Visit]:
    """A visit in a window of its own; at its end nothing must have gone wrong.

    Args:
        browser: The browser.
        web: The server.
        path: The page, what follows `#` in the address.
        size: Width and height of the window in CSS pixels.
        dark: Whether the visitor prefers a dark page.
        allowed: Parts of messages that the browser may write, such as of a server that is away.
        context: More of Playwright's options of a context.
    """
    with ExitStack() as stack:
        stack.enter_context(unchanged_network())
        opened = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, timezone_id="UTC", locale="en-GB",
            color_scheme="dark" if dark else "light", **context,
        )  # fmt: skip
        stack.callback(opened.close)
        opened.set_default_timeout(PATIENCE)
        opened.add_init_script(_WATCH)
        visit = Visit(page=opened.new_page(), web=web)
        _watch(visit, allowed)
        visit.go(path)
        yield visit
        hacked = visit.page.evaluate("window.hacked")
        assert hacked is None, "a script ran that somebody wrote into a text"
        assert visit.wrong == []


def _watch(visit: Visit, allowed: Sequence[str]) -> None:
    own = (visit.web.url, visit.web.url.replace("http", "ws", 1), "data:", "blob:")

    def heard(message: ConsoleMessage) -> None:
        expected = any(each in message.text for each in allowed)
        if message.type in {"error", "warning"} and not expected:
            visit.wrong.append(f"{message.type}: {message.text}")

    def asked(url: str) -> None:
        if not url.startswith(own):
            visit.wrong.append(f"asked another address: {url}")

    visit.page.on("console", heard)
    visit.page.on("pageerror", lambda error: visit.wrong.append(f"script: {error}"))
    visit.page.on("request", lambda request: asked(request.url))
    visit.page.on("websocket", lambda socket: asked(socket.url))
