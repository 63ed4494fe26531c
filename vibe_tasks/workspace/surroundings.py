"""What a plan says about the surroundings of programs, made real on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vibe_tasks.workspace.bounds import UNBOUNDED, Bounds, bounds_of
from vibe_tasks.workspace.environment import child_environment, handed_on
from vibe_tasks.workspace.sandbox import SPACE, Sandbox

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from vibe_tasks.plan_specs import Surroundings


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What all agents and checks of a machine have in common.

    Attributes:
        allowed: Names of variables that they are given, the setting `agent_env`.
        hidden: Folders that a sandbox does not show: the ledger and other jobs' work.
        readable: Those of their parts, and other folders, that a sandbox shows all the same.
    """

    allowed: tuple[str, ...] = ()
    hidden: tuple[Path, ...] = ()
    readable: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Surrounded:
    """How a program is to be run.

    Attributes:
        env: Its whole environment.
        limits: What it may use.
        sandbox: Where it is confined to; None: nowhere.
        secrets: Values in the environment that are not told to anybody else.
    """

    env: Mapping[str, str]
    limits: Bounds = UNBOUNDED
    sandbox: Sandbox | None = None
    secrets: tuple[str, ...] = ()


def surround(
    spec: Surroundings,
    machine: Machine,
    *,
    environ: Mapping[str, str],
    worktree: Path,
    readable: tuple[Path, ...] = (),
    extra: Mapping[str, str] | None = None,
    allowed: Collection[str] = (),
) -> Surrounded:
    """The surroundings of a program in a worktree.

    Args:
        spec: What the plan says.
        machine: What this machine adds.
        environ: Where variables come from, as a rule os.environ.
        worktree: Where the program works, and where alone a sandboxed one may write.
        readable: Further folders that a sandboxed one needs to see.
        extra: Variables that are set in any case.
        allowed: Names of variables that this program cannot do without.
    """
    sandbox, limits = None, bounds_of(spec.limits)
    if spec.sandbox == "strict":
        sandbox = Sandbox(
            writable=(worktree,), hidden=machine.hidden, readable=(*machine.readable, *readable),
            space=limits.memory or SPACE,
        )  # fmt: skip
    names = {*machine.allowed, *spec.env, *allowed}
    return Surrounded(
        env=child_environment(environ, extra=extra or {}, allowed=names),
        limits=limits,
        sandbox=sandbox,
        secrets=handed_on(environ, names),
    )
