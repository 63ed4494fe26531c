"""An agent that is a known coding-agent program, read while it works.

Neither its exit code nor its silence is believed: it has done its work when it told so, and failed
when it told so or ended without a word of success. Where its word of success may come in between,
as with a program that gives one after each answer of its model, it has to end in order as well.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from vibe_tasks.agents.agent import AgentEvent, Answer, Assignment, check_exit
from vibe_tasks.agents.preset import Call, Preset
from vibe_tasks.agents.program import (
    LONGEST_COMPLAINT,
    UNBOUND,
    Start,
    run_program,
)
from vibe_tasks.agents.reader import Reader, Told
from vibe_tasks.agents.usage_limit import bounded_wait, span_of, wait_of
from vibe_tasks.errors import PermanentError, TransientError, UsageLimitError
from vibe_tasks.plan_specs import Surroundings
from vibe_tasks.workspace.output import readable_text
from vibe_tasks.workspace.process import Finished

LARGEST_WRITTEN = 50_000_000
"""Bytes of a file that a program writes for us; of a larger one nothing is read."""

JITTER = 60.0
"""Seconds over which agents that wait for the same moment spread, or a tenth of a short wait."""

_PERMANENT = re.compile(
    r"""not\ logged\ in | /login\b | (?:log|sign)\ ?in\ again | unauthori[sz]ed
    | authentication.?(?:failed|error) | (?:status|error|code)\W{1,3}40[13]\b
    | (?:invalid|incorrect|missing|no)\ (?:\S+\ )?api.?key
    | api.?key\ (?:is\ )?(?:not|invalid|missing)
    | (?:unknown|invalid|unsupported)\ model
    | models?\W\S+\ (?:was\ |is\ |does\ )?not\ (?:found|exist|supported)
    | may\ not\ exist\ or\ you\ may\ not\ have\ access | not_found_error
    | notfounderror | permissiondenied | no\ default\ model\ set
    """,
    re.IGNORECASE | re.VERBOSE,
)
_LIMITS = frozenset({"cpu", "memory", "processes", "output", "file_size"})
_COMMANDS = ("/", "!")  # at the beginning these programs take for commands of theirs
_BUSY = re.compile(r"\b429\b|\b529\b|rate.?limit|overloaded", re.IGNORECASE)


def middle(low: float, high: float) -> float:
    """In place of chance: halfway."""
    return (low + high) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class PresetAgent:
    """Runs a known program in the worktree.

    Attributes:
        preset: What is known of it.
        model: The model that it is to use; None: its own choice.
        args: Further arguments; `{plan_dir}` in them stands for the plan file's folder.
        surroundings: What it is given and held to.
        now: Epoch seconds; None: the times of day that it tells are not understood.
        uniform: Draws a number between its two arguments.
    """

    preset: Preset
    model: str | None = None
    args: tuple[str, ...] = ()
    surroundings: Surroundings = UNBOUND
    now: Callable[[], float] | None = None
    uniform: Callable[[float, float], float] = middle

    def work(self, assignment: Assignment) -> Answer:
        """Run the program until it has done its work, and read what it says."""
        reader = self.preset.reader()
        before = self._litter(assignment.worktree)
        call = self._call(assignment)

        def tell(events: Iterable[AgentEvent]) -> None:
            for event in events:
                assignment.attendant.heard(event)

        def hear(line: str) -> float | None:
            tell(reader.line(line))
            return self.preset.grace if reader.told.final else None

        try:
            finished = run_program(
                self._start(assignment, call), assignment, self.surroundings, hear=hear,
                read=_is_object,
            )  # fmt: skip
        finally:
            tell(reader.finish(_content(call.written)))
            _remove(self._litter(assignment.worktree) - before)
        return self._concluded(finished, reader, review=call.review)

    def _call(self, assignment: Assignment) -> Call:
        scratch = assignment.scratch
        written = scratch / (self.preset.written_name or "written")
        written.unlink(missing_ok=True)
        return Call(
            review=assignment.kind == "review",
            model=self.model,
            files=_files(assignment),
            prompt=scratch / self.preset.prompt_name,
            written=written,
            scratch=scratch,
        )

    def _start(self, assignment: Assignment, call: Call) -> Start:
        prompt = assignment.full_prompt
        if prompt.lstrip().startswith(_COMMANDS):
            prompt = f"The task:\n\n{prompt}"
        if self.preset.prompt == "file":
            call.prompt.write_text(self.preset.form(prompt), encoding="utf-8", errors="replace")
        own = (part.replace("{plan_dir}", str(assignment.plan_dir)) for part in self.args)
        return Start(
            argv=(self.preset.name, *self.preset.arguments(call), *own, *self.preset.closing),
            stdin=prompt if self.preset.prompt == "stdin" else "",
            variables=self.preset.variables,
            allowed=self.preset.keys,
        )

    def _litter(self, worktree: Path) -> frozenset[Path]:
        return frozenset(path for pattern in self.preset.litter for path in worktree.glob(pattern))

    def _concluded(self, finished: Finished, reader: Reader, *, review: bool) -> Answer:
        """What came of it.

        Raises:
            UsageLimitError: Its provider takes no work until a moment.
            PermanentError: Its login, its key, its model or its arguments are wrong.
            TransientError: Anything else.
        """
        told = reader.told
        if told.done and not told.error and _came_to_its_end(finished, told):
            return told.answer(review=review)
        said = told.error or _plain(finished)
        # What a chatty program printed while it worked is not its own complaint.
        own = told.error or ("" if reader.chatty and told.message else said)
        wait = self._wait(told, own)
        if wait is not None:
            wait += self.uniform(0.0, min(JITTER, wait / 10))
            raise UsageLimitError(f"{self.preset.name}: {own or 'usage limit'}", wait)
        text = f"{self.preset.name}: {said}".rstrip(": ")
        meaning = self.preset.permanent.get(finished.exit_code or 0)
        if meaning is not None or _PERMANENT.search(own):
            raise PermanentError(f"{text} ({meaning})" if meaning else text)
        if told.error:
            if finished.exit_code is None:
                text = f"{self.preset.name} {finished.why}: {said}"
            raise TransientError(text, retry_after=span_of(said) if _BUSY.search(said) else None)
        if finished.exit_code is None:
            text = f"{self.preset.name} {finished.why}: {said}".rstrip(": ")
            raise TransientError(text)
        check_exit(finished.exit_code, said)
        raise TransientError(f"ended without a result: {text}")

    def _wait(self, told: Told, said: str) -> float | None:
        """Seconds until its provider takes work again; None where that is not the trouble."""
        now = None if self.now is None else self.now()
        if told.reset_at is not None and now is not None:
            return bounded_wait(told.reset_at - now)
        local = datetime.fromtimestamp(now or 0.0, tz=UTC).astimezone().tzinfo
        return wait_of(said, now=now, local=local or UTC)


def _is_object(line: bytes) -> bool:
    """Whether a line is an event of the program's, whose words the attendant is told."""
    return line.startswith(b"{")


def _came_to_its_end(finished: Finished, told: Told) -> bool:
    """Whether nothing was cut off: who was ended after the last word may have been in no hurry.

    Who passed a limit has failed, whatever it told.
    """
    if finished.ended_by in _LIMITS:
        return False
    return told.final or finished.exit_code == 0


def _plain(finished: Finished) -> str:
    """The end of what it said to people; its objects are for programs."""
    lines = finished.output.splitlines()
    return "\n".join(line for line in lines if not line.startswith("{")).strip()[
        -LONGEST_COMPLAINT:
    ]


def _content(path: Path) -> str:
    """What the program wrote; empty where there is nothing of use."""
    with suppress(OSError):
        if path.is_file() and path.stat().st_size <= LARGEST_WRITTEN:
            return readable_text(bytearray(path.read_bytes()))
    return ""


def _remove(paths: Iterable[Path]) -> None:
    """Take away what the program left; what cannot go stays for QA to see."""
    for path in paths:
        with suppress(OSError):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def _files(assignment: Assignment) -> tuple[str, ...]:
    """The task's files that are there, and not elsewhere by a symbolic link."""
    named, top = assignment.task.get("files"), assignment.worktree.resolve()
    names = named if isinstance(named, list | tuple) else ()
    places = {name: (top / name).resolve() for name in names if isinstance(name, str)}
    return tuple(
        name for name, place in places.items() if place.is_relative_to(top) and place.is_file()
    )
