"""Posting to a webhook: one request, bounded in time as a whole, no redirects.

By the standard library: one small POST needs no further dependency, and `urllib` knows the proxies
of the environment, as git and the agents do.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from math import isfinite
from socket import SHUT_RDWR
from types import TracebackType
from typing import Any, Self
from urllib.error import HTTPError, URLError
from urllib.request import (
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    Request,
    build_opener,
)

from vibe_tasks.errors import AttemptError, PermanentError, TransientError
from vibe_tasks.failures import bounded
from vibe_tasks.retry import LONGEST_WAIT

PASSING = frozenset({408, 425, 429})
"""Answers below 500 that another try may not get."""

LONGEST_ANSWER = 300
"""Characters of a refusal's text that are kept."""

MOST_READ = 65_536
"""Bytes of an answer that are read."""


def post(url: str, body: bytes, headers: Mapping[str, str], *, timeout: float) -> int:
    """Send this and return the status of the answer, from 200 to 299.

    The address is in no message: its path may be a secret.

    Args:
        url: Where to, `http` or `https`.
        body: What is sent.
        headers: Of the request.
        timeout: Seconds for all of it; looking up the name and TLS can each take as long again.

    Raises:
        TransientError: Nobody answered in time, or the answer was that of a server in trouble.
        PermanentError: The answer was a refusal, or a redirect.
    """
    return _exchange(url, body, headers, timeout=timeout, most=0)[0]


def ask(url: str, body: bytes, headers: Mapping[str, str], *, timeout: float) -> bytes:
    """Send this, as `post` does, and return the beginning of what was answered."""
    return _exchange(url, body, headers, timeout=timeout, most=MOST_READ)[1]


def _exchange(
    url: str, body: bytes, headers: Mapping[str, str], *, timeout: float, most: int
) -> tuple[int, bytes]:
    """The status, and up to so many bytes of the answer; none of one that was cut off."""
    deadline = _Deadline(timeout)
    opener = build_opener(_NoRedirects, _Plain(deadline), _Secure(deadline))
    request = Request(url, data=body, headers=dict(headers), method="POST")  # noqa: S310  settings
    try:
        with deadline, opener.open(request, timeout=timeout) as answer:
            if deadline.passed:  # headers that we cut off ourselves look like an answer
                raise TransientError(f"no answer within {timeout:g} s")
            said = b""
            with suppress(OSError, HTTPException):  # it was taken, whatever comes of the rest
                said = answer.read(most) if most else b""
            return int(answer.status), said
    except HTTPError as error:
        with error:
            raise _refusal(error) from None
    except (OSError, HTTPException) as error:
        if deadline.passed:
            raise TransientError(f"no answer within {timeout:g} s") from error
        cause = error.reason if isinstance(error, URLError) else error
        raise TransientError(f"no answer: {type(cause).__name__}: {cause}") from error


def _refusal(error: HTTPError) -> AttemptError:
    text = ""
    with suppress(OSError, HTTPException, ValueError):
        text = " ".join(error.read1(LONGEST_ANSWER).decode("utf-8", "replace").split())
    said = f"answered {error.code} {error.reason}" + (f": {text}" if text else "")
    said = bounded(said, longest=2 * LONGEST_ANSWER)
    if error.code >= 500 or error.code in PASSING:
        return TransientError(said, retry_after=_wait_of(error.headers.get("Retry-After")))
    if 300 <= error.code < 400:
        said = f"{said}: redirects are not followed, name the address itself"
    return PermanentError(said)


def _wait_of(value: str | None) -> float | None:
    """Seconds that the other side asks for; a date is not understood."""
    try:
        seconds = float(value or "")
    except ValueError:
        return None
    return min(seconds, LONGEST_WAIT) if isfinite(seconds) and seconds >= 0 else None


class _NoRedirects(HTTPRedirectHandler):
    """What is signed for one address is not sent to another."""

    def redirect_request(self, *_: Any) -> None:
        """Leave the answer as it is: an error."""


class _Deadline:
    """Ends the connection when the time is over; a context manager.

    A socket's own timeout begins again with each byte: somebody who sends one now and then could
    hold us for ever.
    """

    def __init__(self, seconds: float) -> None:
        self._connection: HTTPConnection | None = None
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True
        self.passed = False

    def watch(self, connection: HTTPConnection) -> None:
        """This is the connection."""
        self._connection = connection

    def _end(self) -> None:
        self.passed = True
        sock = self._connection and self._connection.sock
        if sock:
            with suppress(OSError):
                sock.shutdown(SHUT_RDWR)

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()


class _Plain(HTTPHandler):
    def __init__(self, deadline: _Deadline) -> None:
        super().__init__()
        self._deadline = deadline

    def http_open(self, req: Request) -> HTTPResponse:
        def connect(host: str, **options: Any) -> HTTPConnection:
            connection = HTTPConnection(host, **options)
            self._deadline.watch(connection)
            return connection

        return self.do_open(connect, req)


class _Secure(HTTPSHandler):
    def __init__(self, deadline: _Deadline) -> None:
        super().__init__()
        self._deadline = deadline

    def https_open(self, req: Request) -> HTTPResponse:
        def connect(host: str, **options: Any) -> HTTPConnection:
            connection = HTTPSConnection(host, **options)
            self._deadline.watch(connection)
            return connection

        return self.do_open(connect, req)
