"""Running the checks that judge a worktree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vibe_tasks.masking import without
from vibe_tasks.workspace.process import run
from vibe_tasks.workspace.said import Said

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from vibe_tasks.workspace.surroundings import Surrounded

_OUTPUT = 4_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """How one check ended.

    Attributes:
        command: The shell command line.
        passed: Whether it ended with exit code 0 in time.
        exit_code: Its exit code, 128 + n when signal n ended it; None when we ended it.
        timed_out: Whether it was ended because of its timeout.
        seconds: From start to end.
        output: The last 4,000 characters of standard output and error, without secrets.
        why: What we ended it for, such as `used more than 512 MB of memory`; else empty.
    """

    command: str
    passed: bool
    exit_code: int | None
    timed_out: bool
    seconds: float
    output: str
    why: str = ""


def run_checks(
    commands: Sequence[str],
    *,
    cwd: Path,
    held: Surrounded,
    timeout: float,
    log: Path,
    stop: Callable[[], str | None] | None = None,
) -> tuple[CheckResult, ...]:
    """Run every check, one after the other; a failing one does not stop the rest.

    Args:
        commands: Shell command lines.
        cwd: The worktree.
        held: Environment, limits and sandbox.
        timeout: Seconds for each check.
        log: File that commands and output are added to.
        stop: Asked once a second; a text ends the check that runs, and fails it.

    Raises:
        PermanentError: The worktree does not exist, or a command line cannot be run at all.
        TransientError: The machine has no room for another process.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    return tuple(
        _check(command, cwd=cwd, held=held, timeout=timeout, log=log, stop=stop)
        for command in commands
    )


def _check(
    command: str,
    *,
    cwd: Path,
    held: Surrounded,
    timeout: float,
    log: Path,
    stop: Callable[[], str | None] | None,
) -> CheckResult:
    with log.open("ab") as file:
        file.write(f"$ {command}\n".encode(errors="replace"))
    said = Said("check", held.secrets)
    said.tell(f"$ {command}")
    finished = run(
        ["/bin/sh", "-c", command], cwd=cwd, env=held.env, timeout=timeout, log=log,
        limits=held.limits, sandbox=held.sandbox, stop=stop, said=said,
    )  # fmt: skip
    said.tell(finished.why or f"exit code {finished.exit_code}")
    return CheckResult(
        command=command,
        passed=finished.exit_code == 0,
        exit_code=finished.exit_code,
        timed_out=finished.timed_out,
        seconds=finished.seconds,
        output=without(finished.output, held.secrets)[-_OUTPUT:],
        why=finished.why,
    )
