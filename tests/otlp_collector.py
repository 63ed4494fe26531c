"""A small collector of spans: OTLP over HTTP on a free port, in a thread of the test's process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A span as it came.

    Attributes:
        kind: 3 is a client's, 4 a producer's, 5 a consumer's, 1 none of them.
        status: 1 is fine, 2 an error, 0 neither.
        errors: What was recorded as raised.
    """

    name: str
    trace: str
    id: str
    parent: str
    kind: int
    status: int
    message: str
    began: int
    ended: int
    attributes: dict[str, Any]
    errors: tuple[str, ...] = ()
    service: str = ""


@dataclass(slots=True)
class Collector:
    """A running collector.

    Attributes:
        endpoint: For `OTEL_EXPORTER_OTLP_ENDPOINT`.
        spans: What has come so far.
    """

    endpoint: str
    spans: list[Seen] = field(default_factory=list)

    def named(self, name: str, /, **attributes: Any) -> list[Seen]:
        """The spans of this name with these attributes, `vibe.` left out of their names."""
        wanted = {f"vibe.{key}": value for key, value in attributes.items()}
        return [
            each for each in list(self.spans)
            if each.name == name and wanted.items() <= each.attributes.items()
        ]  # fmt: skip


def _value(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))


def _pairs(attributes: Any) -> dict[str, Any]:
    return {each.key: _value(each.value) for each in attributes}


def _spans(request: ExportTraceServiceRequest) -> Iterator[Seen]:
    for resource in request.resource_spans:
        service = _pairs(resource.resource.attributes).get("service.name", "")
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Seen(
                    name=span.name, trace=span.trace_id.hex(), id=span.span_id.hex(),
                    parent=span.parent_span_id.hex(), kind=span.kind, status=span.status.code,
                    message=span.status.message, began=span.start_time_unix_nano,
                    ended=span.end_time_unix_nano, attributes=_pairs(span.attributes),
                    errors=tuple(
                        str(_pairs(event.attributes)["exception.message"]) for event in span.events
                    ),
                    service=service,
                )  # fmt: skip


@contextmanager
def collector() -> Iterator[Collector]:
    """A collector, until the end of the `with`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            running.spans.extend(_spans(ExportTraceServiceRequest.FromString(body)))
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running = Collector(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
