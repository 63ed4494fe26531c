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


def not_runnable(
    plan: Plan,
    *,
    has_program: Callable[[str], bool],
    no_chat: Callable[[ChatSpec], tuple[str, str] | None] = lambda _spec: None,
) -> tuple[Problem, ...]:
    """Return what this version cannot do of a sound plan; agents that nobody uses may stay.

    Args:
        plan: The plan.
        has_program: Whether a program of this name is there, asked for names without a folder.
        no_chat: The key of a chat agent that stands against it, and why in one line; None: nothing.
    """
    found: list[Problem] = []
    at_work = (*(plan.resolved(task).agent for task in plan.tasks), *plan.qa.reviewers)
    for name in dict.fromkeys(at_work):
        spec, path = plan.agents[name], ("agents", name)
        if isinstance(spec, ChatSpec):
            trouble = _model(spec.model) or no_chat(spec)
            if trouble is not None:
                found.append(Problem(path=(*path, trouble[0]), message=trouble[1]))
        elif isinstance(spec, CommandSpec) and spec.preset is not None:
            found += _preset(spec, path, has_program)
        elif isinstance(spec, CommandSpec) and spec.argv:
            program = spec.argv[0]
            if not ("/" in program or "{plan_dir}" in program or has_program(program)):
                message = f"no program {shown(program)} on the PATH"
                found.append(Problem(path=(*path, "argv", 0), message=message))
    return tuple(found)


def not_sendable(plan: Plan, *, is_address: Callable[[str], bool]) -> tuple[Problem, ...]:
    """Return what of a sound plan makes sense in a file alone, for one that comes without.

    Args:
        plan: The plan.
        is_address: Whether a `repo` is an address and no path.
    """
    found: list[Problem] = []
    if not (is_address(plan.repo) or plan.repo.startswith("/")):
        message = f"must be an address or an absolute path, got {shown(plan.repo)}"
        found.append(Problem(path=("repo",), message=message))
    at_work = (*(plan.resolved(task).agent for task in plan.tasks), *plan.qa.reviewers)
    found += [
        Problem(path=("agents", name), message="needs the plan file's folder, and there is none")
        for name in dict.fromkeys(at_work)
        if plan.agents[name].needs_plan_dir
    ]
    return tuple(found)


def not_confinable(plan: Plan, *, no_sandbox: Callable[[], str | None]) -> tuple[Problem, ...]:
    """Return where a sound plan asks for a sandbox that is not there.

    Args:
        plan: The plan.
        no_sandbox: Why there is none, None where there is; asked when the plan wants one.
    """
    names = (*(plan.resolved(task).agent for task in plan.tasks), *plan.qa.reviewers)
    paths: list[KeyPath] = [
        ("agents", name, "sandbox")
        for name in dict.fromkeys(names)
        if plan.agents[name].sandbox == "strict"
    ]
    if plan.qa.sandbox == "strict":
        paths.append(("qa", "sandbox"))
    reason = no_sandbox() if paths else None
    return () if reason is None else tuple(Problem(path=path, message=reason) for path in paths)


def _model(model: str) -> tuple[str, str] | None:
    provider, _, name = model.partition(":")
    return None if provider and name else ("model", f"must be provider:model, got {shown(model)}")


def _preset(
    spec: CommandSpec, path: KeyPath, has_program: Callable[[str], bool]
) -> Iterator[Problem]:
    """What stands against a preset; its program has its name."""
    if spec.sandbox == "strict":
        message = f"{spec.preset} needs the network, which `sandbox: strict` takes away"
        yield Problem(path=(*path, "sandbox"), message=message)
    if not has_program(str(spec.preset)):
        message = f"no program {shown(spec.preset)} on the PATH; `vibe doctor --agents` looks"
        yield Problem(path=(*path, "preset"), message=message)


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
