"""What a language model may do in the worktree: list, read, search, write, replace, delete, and
run the task's checks. Nothing leaves the worktree, and no command line is the model's own.

A refused call is told to the model, which may try something else; it is no failure of the job.
The docstrings of the tools are what the model reads about them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

from pydantic_ai import Tool
from pydantic_ai.exceptions import ToolFailed

from vibe_tasks.agents.confined import Confined, RefusedError
from vibe_tasks.failures import bounded

LARGEST_FILE = 2_000_000
"""Bytes of a file that is read, searched or written."""

LONGEST_PART = 40_000
"""Characters that one call shows of a file."""

MOST_NAMES = 1_000
"""Files that one call lists."""

MOST_HITS = 200
"""Lines that one search shows."""

MOST_SEARCHED = 100_000_000
"""Bytes that one search looks through."""

LONGEST_LINE = 400
"""Characters of a line that a search shows."""

CACHES = frozenset(
    {"__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", "node_modules", ".venv"}
)
"""Folders that are neither listed nor searched: their content is made, not written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """The tools of one conversation.

    Attributes:
        files: The worktree.
        checks: Runs the task's checks and tells how they ended; None where they are not offered.
    """

    files: Confined
    checks: Callable[[], str] | None = None

    def reading(self) -> tuple[Tool[Any], ...]:
        """What a review may do."""
        return _tool(self.list_files), _tool(self.read_file), _tool(self.search)

    def writing(self) -> tuple[Tool[Any], ...]:
        """What a dev or fix job may do: all of them."""
        mending = _tool(self.write_file), _tool(self.replace_text), _tool(self.delete_file)
        checking = (_tool(self.run_checks),) if self.checks is not None else ()
        return (*self.reading(), *mending, *checking)

    def list_files(self, folder: str = "") -> str:
        """List the files below a folder.

        Args:
            folder: Path relative to the top of the worktree; empty for all files.
        """
        with _told():
            names = list(islice(self.files.names(_place(folder), leave_out=CACHES), MOST_NAMES + 1))
        if len(names) > MOST_NAMES:
            names[MOST_NAMES:] = ["[there are more; name a folder]"]
        return _clean("\n".join(names)) or "[no files]"

    def read_file(self, path: str, first_line: int = 1) -> str:
        """Read a text file.

        Args:
            path: Path relative to the top of the worktree.
            first_line: Number of the line to begin with; lines are counted from 1.
        """
        with _told():
            lines = self._text(_place(path)).splitlines(keepends=True)
        first, shown = max(first_line, 1), ""
        for number, line in enumerate(lines[first - 1 :], start=first):
            if shown and len(shown) + len(line) > LONGEST_PART:
                return f"{shown}[line {number} of {len(lines)} is next: first_line={number}]"
            shown += line[:LONGEST_PART]
        return shown or "[nothing]"

    def search(self, text: str, path: str = "") -> str:
        """Find the lines that hold a text, with file and line number.

        Args:
            text: The text as it stands in the file; no pattern. Case matters.
            path: File or folder to look in, relative to the top of the worktree; empty for all.
        """
        if not text.strip():
            raise ToolFailed("give a text to search for")
        with _told():
            hits = list(islice(self._hits(text, _place(path)), MOST_HITS + 1))
        if len(hits) > MOST_HITS:
            hits[MOST_HITS:] = ["[there are more; search for something rarer]"]
        return _clean("\n".join(hits)) or "[not found]"

    def write_file(self, path: str, content: str) -> str:
        """Make a file or replace a whole one. Folders are made as needed.

        Args:
            path: Path relative to the top of the worktree.
            content: The whole new content.
        """
        with _told():
            self._write(_place(path), content)
        return f"{path} written"

    def replace_text(self, path: str, old: str, new: str) -> str:
        """Replace a text that stands exactly once in a file.

        Args:
            path: Path relative to the top of the worktree.
            old: The text to replace, with enough around it to be the only such place.
            new: What to put in its place.
        """
        with _told():
            content = self._text(_place(path))
            count = content.count(old) if old else 0
            if count != 1:
                raise ToolFailed(f"the old text stands {count} times in {path}, not once")
            self._write(_place(path), content.replace(old, new))
        return f"{path} changed"

    def delete_file(self, path: str) -> str:
        """Delete a file.

        Args:
            path: Path relative to the top of the worktree.
        """
        with _told():
            self.files.delete(_place(path))
        return f"{path} deleted"

    def run_checks(self) -> str:
        """Run the checks that will judge the work, and see what they say."""
        assert self.checks is not None  # noqa: S101 - offered only where there are some
        return _clean(self.checks())

    def _text(self, path: str) -> str:
        try:
            return self.files.read(path, limit=LARGEST_FILE).decode()
        except UnicodeDecodeError:
            raise ToolFailed(f"{path} is no text in UTF-8") from None

    def _write(self, path: str, content: str) -> None:
        try:
            raw = content.encode()
        except UnicodeEncodeError:
            raise ToolFailed("the content is no valid text") from None
        if len(raw) > LARGEST_FILE:
            raise ToolFailed(f"the content has more than {LARGEST_FILE} bytes")
        self.files.write(path, raw)

    def _hits(self, text: str, path: str) -> Iterator[str]:
        wanted, looked = text.encode(errors="replace"), 0
        for name, content in self.files.contents(path, limit=LARGEST_FILE, leave_out=CACHES):
            looked += len(content)
            if looked > MOST_SEARCHED:
                yield "[the rest was not searched: too much; name a folder]"
                return
            if wanted not in content or b"\0" in content:
                continue
            for number, line in enumerate(content.split(b"\n"), start=1):
                if wanted in line:
                    yield f"{name}:{number}: {line.decode(errors='replace')[:LONGEST_LINE]}"


def _tool(function: Callable[..., str]) -> Tool[Any]:
    # One after the other, as the model asked for them: a check must see what was written before.
    return Tool(function, takes_ctx=False, sequential=True, docstring_format="google")


def _place(path: str) -> str:
    """The path as it is meant: models like to begin with the folder that they are in."""
    while path.startswith("./"):
        path = path[2:].lstrip("/")
    return "" if path == "." else path.rstrip("/") or path


def _clean(text: str) -> str:
    """Text that every server takes: names of files may hold anything."""
    return bounded(text, longest=MOST_HITS * LONGEST_LINE)


@contextmanager
def _told() -> Iterator[None]:
    """What goes wrong is for the model to read."""
    try:
        yield
    except RefusedError as error:
        raise ToolFailed(bounded(str(error), longest=LONGEST_LINE)) from error
    except OSError as error:
        raise ToolFailed(error.strerror or type(error).__name__) from error
