"""A Flower and what it answers."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from flower.urls import handlers

LOGIN = "ada:secret"
"""User and password, as `FLOWER_BASIC_AUTH` has them."""


def addresses(method: str) -> list[str]:
    """Paths of all of Flower's API that take this method, with `NAME` where a name belongs."""
    found = [(each.regex.pattern, each.handler_class) if hasattr(each, "regex") else each[:2]
             for each in handlers]  # fmt: skip
    return [
        pattern.rstrip("$").replace("(.+)", "NAME").replace("(.*)", "NAME")
        for pattern, handler in found
        if pattern.startswith("/api/") and method in vars(handler)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flower:
    """One Flower.

    Attributes:
        port: Its port on this machine.
        login: User and password; empty: none are given.
    """

    port: int
    login: str = LOGIN

    def ask(self, path: str, fields: dict[str, Any] | str | None = None) -> tuple[int, str]:
        """The status and the body of an answer; with fields, even none, or a body it is a POST."""
        body = urlencode(fields) if isinstance(fields, dict) else fields
        request = Request(
            f"http://127.0.0.1:{self.port}{path}",
            data=None if body is None else body.encode(),
        )
        if self.login:
            request.add_header("Authorization", f"Basic {b64encode(self.login.encode()).decode()}")
        try:
            with urlopen(request, timeout=60) as answer:  # noqa: S310
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:  # nobody listens yet, or no more
            return 0, str(error)

    def get(self, path: str) -> Any:
        """The JSON at this path; None where there is no answer."""
        status, body = self.ask(path)
        return json.loads(body) if status == 200 else None

    def workers(self) -> dict[str, Any]:
        """What its workers say of themselves now."""
        return dict(self.get("/api/workers?refresh=1") or {})

    def task(self, job_id: str) -> dict[str, Any]:
        """What it knows of a task; empty for nothing."""
        return dict(self.get(f"/api/task/info/{job_id}") or {})

    def shows(self, job_id: str, state: str) -> Callable[[], bool]:
        """A condition: it shows this task in this state."""
        return lambda: self.task(job_id).get("state") == state

    def lengths(self) -> dict[str, int]:
        """Messages by queue."""
        queues = (self.get("/api/queues/length") or {}).get("active_queues", ())
        return {each["name"]: each["messages"] for each in queues}
