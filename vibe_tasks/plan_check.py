"""What no part of a plan can tell by itself: ids, needs, agents, and cycles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vibe_tasks.plan_graph import find_cycle
from vibe_tasks.plan_problems import Problem, shown
from vibe_tasks.plan_specs import ChatSpec, CommandSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from vibe_tasks.plan import Plan
    from vibe_tasks.plan_problems import KeyPath
    from vibe_tasks.plan_specs import TaskSpec

_LONGEST_CYCLE = 10  # ids shown in a message


def problems_between(plan: Plan) -> tuple[Problem, ...]:
    """Return what is wrong between the parts of a plan whose parts are well formed."""
    found = [*_ids(plan.tasks), *_needs(plan.tasks), *_agents(plan)]
    # With a doubled id the graph would join two tasks and show cycles that are none.
    return tuple(found) or tuple(_cycle(plan.tasks))


def not_runnable(plan: Plan, *, has_program: Callable[[str], bool]) -> tuple[Problem, ...]:
    """Return what this version cannot do of a sound plan; agents that no task uses may stay.

    Args:
        plan: The plan.
        has_program: Whether a program of this name is there, asked for names without a folder.
    """
    found: list[Problem] = []
    for name in dict.fromkeys(plan.resolved(task).agent for task in plan.tasks):
        spec, path = plan.agents[name], ("agents", name)
        if isinstance(spec, ChatSpec):
            found.append(Problem(path=(*path, "type"), message=_not_yet("type chat")))
        elif isinstance(spec, CommandSpec) and spec.argv is None:
            found.append(Problem(path=(*path, "preset"), message=_not_yet(f"preset {spec.preset}")))
        elif isinstance(spec, CommandSpec) and spec.argv:
            program = spec.argv[0]
            if not ("/" in program or "{plan_dir}" in program or has_program(program)):
                message = f"no program {shown(program)} on the PATH"
                found.append(Problem(path=(*path, "argv", 0), message=message))
    if plan.qa.reviewers:
        message = "reviewers are not available in this version; use `qa.checks`"
        found.append(Problem(path=("qa", "reviewers"), message=message))
    return tuple(found)


def _not_yet(what: str) -> str:
    return f"{what} is not available in this version; use `type: command` with an `argv`"


def _ids(tasks: tuple[TaskSpec, ...]) -> Iterator[Problem]:
    first: dict[str, tuple[int, str]] = {}
    for number, task in enumerate(tasks):
        where, other = first.setdefault(task.id.casefold(), (number, task.id))
        if where == number:
            continue
        how = "is also" if other == task.id else f"differs only in case from {other!r},"
        yield Problem(
            path=("tasks", number, "id"), message=f"id {task.id!r} {how} the id of tasks[{where}]"
        )


def _needs(tasks: tuple[TaskSpec, ...]) -> Iterator[Problem]:
    ids = dict.fromkeys(task.id for task in tasks)
    for number, task in enumerate(tasks):
        seen: set[str] = set()
        for place, need in enumerate(task.needs):
            path = ("tasks", number, "needs", place)
            if need == task.id:
                yield Problem(path=path, message=f"task {need!r} needs itself")
            elif need not in ids:
                message = f"no task has the id {shown(need)}"
                yield Problem(path=path, message=message, word=need, choices=ids)
            elif need in seen:
                yield Problem(path=path, message=f"task {need!r} is named twice")
            seen.add(need)


def _agents(plan: Plan) -> Iterator[Problem]:
    named: list[tuple[KeyPath, str]] = []
    if plan.agent is not None:
        named.append((("agent",), plan.agent))
    named += [(("qa", "reviewers", at), name) for at, name in enumerate(plan.qa.reviewers)]
    for number, task in enumerate(plan.tasks):
        if task.agent is not None:
            named.append((("tasks", number, "agent"), task.agent))
        elif plan.agent is None:
            yield Problem(
                path=("tasks", number, "agent"),
                message=f"task {task.id!r} has no agent, and the plan names no default `agent`",
            )
    for path, name in named:
        if name not in plan.agents:
            yield unknown_agent(path, name, plan.agents)


def unknown_agent(path: KeyPath, name: str, agents: Mapping[str, object]) -> Problem:
    """Return the problem of an agent that the plan does not define."""
    message = f"no agent is called {shown(name)}"
    return Problem(path=path, message=message, word=name, choices=agents)


def _cycle(tasks: tuple[TaskSpec, ...]) -> Iterator[Problem]:
    cycle = find_cycle({task.id: task.needs for task in tasks})
    if not cycle:
        return
    number = next(at for at, task in enumerate(tasks) if task.id == cycle[0])
    place = tasks[number].needs.index(cycle[1])
    names = list(cycle[:_LONGEST_CYCLE])
    if len(cycle) > len(names):
        names.append(f"… {len(cycle) - len(names)} more …")
    yield Problem(
        path=("tasks", number, "needs", place),
        message=f"tasks need each other: {' → '.join([*names, cycle[0]])}",
    )
