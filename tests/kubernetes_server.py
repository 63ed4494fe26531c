"""A server on this machine that answers as the Kubernetes API does for the scale of Deployments."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

TOKEN = "a-token-of-a-service-account"  # noqa: S105  nobody else takes it

Trouble = Callable[[str], tuple[int, dict[str, str]] | None]
"""Gets the method, gives a status and headers to refuse with; None: as ever."""


@dataclass
class Api:
    """The state of the API, and what it was asked.

    Attributes:
        replicas: By `NAMESPACE/NAME`.
        versions: Of the objects, each write counts one.
        asked: Method, path, body of each request.
        trouble: Refuses requests.
        hold: Requests wait for this.
    """

    replicas: dict[str, int] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    trouble: Trouble = lambda _method: None
    hold: threading.Event | None = None
    url: str = ""

    def answer(self, method: str, path: str, token: str, body: Any) -> tuple[int, dict[str, Any]]:
        """What the API answers: a Scale, or a Status."""
        self.asked.append((method, path, body))
        parts = path.partition("?")[0].strip("/").split("/")
        if token != f"Bearer {TOKEN}":
            return 401, _status(401, "Unauthorized")
        if parts[:4] != ["apis", "apps", "v1", "namespaces"] or parts[5::2] != [
            "deployments",
            "scale",
        ]:
            return 404, _status(404, "the server could not find the requested resource")
        name = f"{parts[4]}/{parts[6]}"
        if name not in self.replicas:
            return 404, _status(404, f'deployments.apps "{parts[6]}" not found')
        if method == "PATCH":
            wanted = body.get("metadata", {}).get("resourceVersion")
            if wanted not in {None, str(self.versions.get(name, 1))}:
                return 409, _status(409, "the object has been modified; please apply your changes")
            self.replicas[name] = int(body["spec"]["replicas"])
            self.versions[name] = self.versions.get(name, 1) + 1
        return 200, {
            "kind": "Scale", "apiVersion": "autoscaling/v1",
            "metadata": {"name": parts[6], "namespace": parts[4],
                         "resourceVersion": str(self.versions.get(name, 1))},
            "spec": {"replicas": self.replicas[name]} if self.replicas[name] else {},
            "status": {"replicas": self.replicas[name], "selector": "app=worker"},
        }  # fmt: skip


def _status(code: int, message: str) -> dict[str, Any]:
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
            "message": message}  # fmt: skip


@contextmanager
def kubernetes_server() -> Iterator[Api]:
    """The API on a free port of this machine."""
    api = Api()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(api))
    server.daemon_threads = True
    api.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield api
    finally:
        if api.hold is not None:
            api.hold.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(api: Api) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer("GET")

        def do_PATCH(self) -> None:
            self._answer("PATCH")

        def _answer(self, method: str) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            if api.hold is not None:
                api.hold.wait(60)
            headers: dict[str, str] = {}
            if refused := api.trouble(method):
                api.asked.append((method, self.path, body))
                code, headers = refused
                answer = _status(code, "trouble")
            else:
                token = self.headers.get("Authorization", "")
                code, answer = api.answer(method, self.path, token, body)
            said = json.dumps(answer).encode()
            try:
                self.send_response(code)
                for name, value in {**headers, "Content-Type": "application/json"}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)
            except OSError:
                return  # the other side has had enough

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    return Handler


def write_kubeconfig(folder: Path, url: str, *, namespace: str = "fleet") -> Path:
    """A kubeconfig that leads to this server."""
    path = folder / "kubeconfig"
    path.write_text(
        json.dumps(
            {
                "apiVersion": "v1", "kind": "Config", "current-context": "here",
                "clusters": [{"name": "here", "cluster": {"server": url}}],
                "users": [{"name": "us", "user": {"token": TOKEN}}],
                "contexts": [{"name": "here", "context": {"cluster": "here", "user": "us",
                                                          "namespace": namespace}}],
            }
        ),
        encoding="utf-8",
    )  # fmt: skip
    return path
