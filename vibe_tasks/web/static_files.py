"""The dashboard's files: read once, served by their exact names.

What was not in the folder at the start has no route: there is no path to play tricks with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from mimetypes import guess_type
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

FOLDER = Path(__file__).parent / "static"

INDEX = "index.html"

ASK_AGAIN = "no-cache"
"""A browser keeps each file and asks whether it is still the same: after an upgrade the parts of a
page fit together."""

TYPES = {".js": "text/javascript", ".svg": "image/svg+xml", ".webmanifest": "application/json"}
"""Where the system's own table may know nothing, or something old."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticFile:
    """One file.

    Attributes:
        content: Its bytes.
        kind: Its media type.
        etag: Of these bytes.
    """

    content: bytes
    kind: str
    etag: str

    def answer(self, request: Request) -> Response:
        """The file, or that it is still the same."""
        headers = {"ETag": self.etag, "Cache-Control": ASK_AGAIN}
        if is_known(self.etag, request.headers.get("if-none-match", "")):
            return Response(status_code=304, headers=headers)
        return Response(self.content, media_type=self.kind, headers=headers)


def is_known(etag: str, if_none_match: str) -> bool:
    """Whether a client has this version (RFC 9110, section 13.1.2)."""
    known = {each.strip().removeprefix("W/") for each in if_none_match.split(",")}
    return "*" in known or etag.removeprefix("W/") in known


def static_files(folder: Path = FOLDER) -> Mapping[str, StaticFile]:
    """All files of the folder by the paths that they are served at; hidden ones are left out."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in name.parts):
            found[f"/static/{name.as_posix()}"] = _read(path)
    index = found.pop(f"/static/{INDEX}", None)
    return found if index is None else {"/": index, **found}


def routes(files: Mapping[str, StaticFile]) -> list[BaseRoute]:
    """A route for each file."""
    return [_route(path, file) for path, file in files.items()]


def _route(path: str, file: StaticFile) -> Route:
    async def serve(request: Request) -> Response:
        return file.answer(request)

    return Route(path, serve, methods=["GET"], include_in_schema=False)


def _read(path: Path) -> StaticFile:
    content = path.read_bytes()
    kind = TYPES.get(path.suffix) or guess_type(path.name)[0] or "application/octet-stream"
    return StaticFile(content=content, kind=kind, etag=f'"{sha256(content).hexdigest()[:20]}"')
