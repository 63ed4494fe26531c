"""Stands before the application: who is asking, from which page, and how often."""

from __future__ import annotations

import math
from base64 import urlsafe_b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Collection
from dataclasses import dataclass

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vibe_tasks.access import Identity, digest_of
from vibe_tasks.web.origins import SAFE, may_come_from, names_this_machine
from vibe_tasks.web.problems import problem
from vibe_tasks.web.rates import Rates, WrongTokens
from vibe_tasks.web.security import CHALLENGE, IDENTITY, Access

BEARER = "bearer."
"""Beginning of the subprotocol by which a browser's WebSocket shows a token: no header of its own
can be given to one, and an address ends in logs. The token follows in base64url."""

UNCOUNTED = frozenset({("POST", "/events"), ("POST", "/api/v1/events")})
"""Events come in bursts; what is too much of them the intake refuses."""

RELAYS = frozenset({b"x-forwarded-for", b"forwarded", b"x-real-ip"})
"""Headers by which a proxy tells for whom it asks: not for somebody on this machine."""

ALLOWED_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
ALLOWED_HEADERS = "Authorization, Content-Type, If-None-Match"
SHOWN_HEADERS = "ETag, Location, Retry-After"

KEPT = "600"
"""Seconds for which a browser need not ask again what a page may do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a request says of itself.

    Attributes:
        method: `GET` …; `WEBSOCKET` where it is to become one.
        path: Decoded.
        host: The header; empty where there is none.
        origin: The page that asks; None where it is no page.
        elsewhere: Whether the browser says that the page is another site's.
        relayed: Whether a proxy says that it asks for somebody else.
        preflight: Whether the browser only asks whether the page may.
        secret: The token; None where none is shown.
        address: Where it comes from.
    """

    method: str
    path: str
    host: str
    origin: str | None
    elsewhere: bool
    relayed: bool
    preflight: bool
    secret: str | None
    address: str

    @property
    def changes(self) -> bool:
        """Whether it may change something, or listens on."""
        return self.method not in SAFE


def asked(scope: Scope) -> Asked:
    """What this request says of itself."""
    headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
    websocket = scope["type"] == "websocket"
    method = "WEBSOCKET" if websocket else scope["method"]
    return Asked(
        method=method,
        path=scope["path"],
        host=headers.get(b"host", ""),
        origin=headers.get(b"origin"),
        elsewhere=headers.get(b"sec-fetch-site") == "cross-site",
        relayed=not RELAYS.isdisjoint(headers),
        preflight=method == "OPTIONS" and b"access-control-request-method" in headers,
        secret=_secret(headers.get(b"authorization", ""), scope.get("subprotocols", ())),
        address=(scope.get("client") or ("",))[0],
    )


def _secret(authorization: str, subprotocols: Collection[str]) -> str | None:
    kind, _, value = authorization.partition(" ")
    if kind.lower() == "bearer" and value.strip():
        return value.strip()
    for each in subprotocols:
        if each.startswith(BEARER):
            text = each.removeprefix(BEARER)
            try:
                return urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("utf-8")
            except (Base64Error, ValueError):
                return text
    return None


class Guard:
    """Lets in who may come in; a middleware.

    Args:
        app: What it stands before.
        access: Who may come in.
        rate: Requests a second of each; 0: any number.
        open_paths: What everybody may get: the dashboard's files, which hold no secret, and health.
        monotonic: Seconds on a clock that never goes back.
    """

    def __init__(
        self, app: ASGIApp, *, access: Access, rate: float, open_paths: Collection[str],
        monotonic: Callable[[], float],
    ) -> None:  # fmt: skip
        self._app = app
        self._access = access
        self._open = frozenset(open_paths)
        self._rates = Rates(rate, monotonic=monotonic)
        self._wrong = WrongTokens(monotonic=monotonic)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer instead of the application where it must be."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        told = asked(scope)
        if told.origin is not None and told.origin.lower() in self._access.origins:
            send = _for_page(send, told.origin)
        answer = self._at_the_door(told)
        if answer is None:
            found, answer = self._who(told)
            scope[IDENTITY] = found
        await (answer or self._app)(scope, receive, send)

    def _at_the_door(self, told: Asked) -> Response | None:
        """Whether this page may ask such a thing at all; None where it may."""
        if self._access.is_open and (told.relayed or not names_this_machine(told.host)):
            return problem(
                told.path, 403,
                "without a token this server answers to localhost alone: set VIBE_API_TOKEN to "
                "reach it by another name or through a proxy",
            )  # fmt: skip
        others = self._access.origins
        if told.preflight:
            known = told.origin is not None and told.origin.lower() in others
            return Response(status_code=204) if known else problem(told.path, 403, _FOREIGN)
        foreign = told.elsewhere if told.origin is None else False
        if told.changes and (foreign or not may_come_from(told.origin, told.host, others)):
            return problem(told.path, 403, _FOREIGN)
        return None

    def _who(self, told: Asked) -> tuple[Identity | None, Response | None]:
        """Who asks, and what they get instead of what they asked for."""
        wait = self._wrong.wait(told.address) if told.secret is not None else 0.0
        if wait:
            return None, _later(told.path, wait, "too many wrong tokens")
        found = self._access.identity(told.secret)
        asker = told.address if found is None or self._access.is_open else f"token {found.name}"
        if (told.method, told.path) not in UNCOUNTED:
            wait = self._rates.wait(asker)
            if wait:
                return None, _later(told.path, wait, "too many requests (VIBE_WEB_RATE)")
        if found is not None or (told.path in self._open and not told.changes):
            return found, None
        if told.secret is None:
            detail = "a token is needed: Authorization: Bearer TOKEN"
        else:
            self._wrong.note(told.address, digest_of(told.secret))
            detail = "this token is not known here"
        return None, problem(told.path, 401, detail, headers=CHALLENGE)


_FOREIGN = "this page may not use this server: see VIBE_WEB_ORIGINS"


def _later(path: str, wait: float, why: str) -> Response:
    seconds = str(math.ceil(wait))
    return problem(path, 429, f"{why}: wait {seconds} s", headers={"Retry-After": seconds})


def _for_page(send: Send, origin: str) -> Send:
    """Let a page of this origin read the answers (https://fetch.spec.whatwg.org/#http-cors)."""
    more = [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-allow-methods", ALLOWED_METHODS.encode()),
        (b"access-control-allow-headers", ALLOWED_HEADERS.encode()),
        (b"access-control-expose-headers", SHOWN_HEADERS.encode()),
        (b"access-control-max-age", KEPT.encode()),
        (b"vary", b"Origin"),
    ]

    async def send_for_page(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *more]
        await send(message)

    return send_for_page
