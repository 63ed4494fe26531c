"""An agent that replays recordings: the same files for the same step, every time.

A recording is `<folder>/<task id>/<step>.json`. The steps of a task are `dev-1`, `dev-2`, …
(the attempts at its dev job), `fix-1`, `fix-2`, … (its fix rounds) and `review-1`, … (the
reviews; `review-1` is the one before any fix). A step without a file of its own replays the
latest earlier one.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from vibe_tasks.agents.agent import Answer, Assignment, check_exit
from vibe_tasks.agents.confined import RefusedError, parts_of
from vibe_tasks.errors import PermanentError, TransientError

Count = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _decoded(text: object) -> bytes:
    if not isinstance(text, str):
        raise ValueError("must be a text")  # noqa: TRY004 - pydantic collects ValueError alone
    return b64decode(text, validate=True)


class Blob(BaseModel):
    """A file that is not text.

    Attributes:
        base64: Its bytes, encoded in the recording.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    base64: Annotated[bytes, BeforeValidator(_decoded)]


class Recording(BaseModel):
    """What an agent did in one step.

    Attributes:
        write: Content of each new or changed file, by path in the worktree. A list is lines, each
            of them ended by a newline.
        executable: Those of the written files that may be executed.
        delete: Paths of deleted files.
        exit: Exit code, read as that of a command; the files are written in any case.
        summary: What the agent said it did, or why it failed.
        input_tokens: Tokens read by language models.
        output_tokens: Tokens written by language models.
        cost_usd: What it cost, in US dollars.
        seconds: How long the replay takes.
        verdict: Verdict of a review.
        findings: What a review found.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    write: dict[str, str | list[str] | Blob] = {}
    executable: list[str] = []
    delete: list[str] = []
    exit: Annotated[int, Field(ge=0, le=255)] = 0
    summary: str = ""
    input_tokens: Count = 0
    output_tokens: Count = 0
    cost_usd: Amount = 0.0
    seconds: Amount = 0.0
    verdict: Literal["pass", "fail"] | None = None
    findings: list[str] = []

    @model_validator(mode="after")
    def _executables_are_written(self) -> Self:
        for path in self.executable:
            if path not in self.write:
                raise ValueError(f"executable names {path!r}, which is not in write")
        return self


def wait(seconds: float) -> None:
    """Let the time pass that the recorded agent took."""
    Event().wait(seconds)


@dataclass(frozen=True, slots=True)
class RecordedAgent:
    """Replays the recordings of one folder.

    Attributes:
        folder: Holds a folder for each task.
        sleep: Lets so many seconds pass.
    """

    folder: Path
    sleep: Callable[[float], object] = wait

    def work(self, assignment: Assignment) -> Answer:
        """Make the recorded changes, then answer or fail as recorded."""
        recording = load(find(self.folder, assignment))
        if recording.seconds > assignment.timeout:
            self.sleep(assignment.timeout)
            raise TransientError(f"agent did not end within {assignment.timeout:g} s")
        if recording.seconds:
            self.sleep(recording.seconds)
        try:
            apply(recording, assignment.worktree)
        except OSError as error:
            raise TransientError(f"replay failed: {error}") from error
        check_exit(recording.exit, recording.summary)
        return Answer(
            summary=recording.summary,
            input_tokens=recording.input_tokens,
            output_tokens=recording.output_tokens,
            cost_usd=recording.cost_usd,
            verdict=recording.verdict,
            findings=tuple(recording.findings),
        )


def step_of(assignment: Assignment) -> tuple[str, int]:
    """Kind and number that name the assignment's recording, both as in `fix-2`."""
    if assignment.kind == "dev":
        return "dev", assignment.attempt
    if assignment.kind == "review":
        return "review", assignment.fix_round + 1
    return assignment.kind, assignment.fix_round


def find(folder: Path, assignment: Assignment) -> Path:
    """The recording of this step, or the latest one before it.

    Raises:
        PermanentError: There is neither; the text names the file that was looked for.
    """
    kind, number = step_of(assignment)
    tape = folder / assignment.task_id
    numbers = (
        re.fullmatch(rf"{re.escape(kind)}-([1-9][0-9]{{0,8}})\.json", path.name)
        for path in tape.glob(f"{kind}-*.json")
    )
    earlier = [int(match[1]) for match in numbers if match and int(match[1]) <= number]
    if not earlier:
        raise PermanentError(f"no recording {tape / f'{kind}-{number}.json'}")
    return tape / f"{kind}-{max(earlier)}.json"


def load(path: Path) -> Recording:
    """Read a recording.

    Raises:
        PermanentError: It cannot be read or has a wrong key or value, which is named.
    """
    try:
        return Recording.model_validate_json(path.read_bytes())
    except OSError as error:
        raise PermanentError(f"recording cannot be read: {error}") from error
    except ValidationError as error:
        # A file's content may be of three kinds: the deepest problem is of the one that was meant.
        problem = max(error.errors(include_url=False), key=lambda one: len(one["loc"]))
        key = ".".join(str(part) for part in problem["loc"])
        raise PermanentError(f"recording {path}: {key or 'file'}: {problem['msg']}") from error


def apply(recording: Recording, worktree: Path) -> None:
    """Make the recorded changes in the worktree, deletions first.

    Raises:
        PermanentError: A path leaves the worktree, touches git's own files or is a folder; or
            the worktree is not there.
        OSError: The disk refused.
    """
    if not worktree.is_dir():
        raise PermanentError(f"worktree {worktree} does not exist")
    targets = {path: inside(worktree, path) for path in (*recording.delete, *recording.write)}
    for path in recording.delete:
        if targets[path].is_dir() and not targets[path].is_symlink():
            raise PermanentError(f"recorded path {path!r} is a folder")
        targets[path].unlink(missing_ok=True)
    for path, content in recording.write.items():
        _write(targets[path], path, _bytes(content))
        mode = targets[path].stat().st_mode
        targets[path].chmod(mode | 0o111 if path in recording.executable else mode & ~0o111)


def inside(worktree: Path, path: str) -> Path:
    """Where a recorded path lies in the worktree.

    Raises:
        PermanentError: It is absolute, has `..`, goes through a symbolic link or into `.git`.
    """
    try:
        parts = parts_of(path)
    except RefusedError as error:
        raise PermanentError(f"recorded {error}") from error
    place = worktree
    for part in parts[:-1]:
        place /= part
        if place.is_symlink():
            raise PermanentError(f"recorded path {path!r} goes through a symbolic link")
    return place / parts[-1]


def _write(target: Path, path: str, content: bytes) -> None:
    if target.is_symlink():
        raise PermanentError(f"recorded path {path!r} is a symbolic link")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise PermanentError(f"recorded path {path!r} cannot be written: {error}") from error


def _bytes(content: str | list[str] | Blob) -> bytes:
    if isinstance(content, Blob):
        return content.base64
    text = content if isinstance(content, str) else "".join(f"{line}\n" for line in content)
    return text.encode()
