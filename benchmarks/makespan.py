"""How long a plan takes with and without the critical path: `python benchmarks/makespan.py`.

A simulation: the rule is the program's own (`Plan.resolved`, `Plan.chain_effort`), workers and time
are not real. What is measured is the order in which jobs start, not what a job costs.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Mapping
from heapq import heapify, heappop, heappush
from random import Random
from typing import Any

from report import show

from vibe_tasks.plan import Plan
from vibe_tasks.priority import priority_of_files

WORKERS = (2, 4, 8, 16)
SPREAD = 0.5
"""Of a task's duration around its effort, as the sigma of a lognormal: 68 % take between 0.6 and
1.6 times what was thought. Nobody knows it before."""

METHOD = (
    "{plans} plans of each shape, the same for all. A task takes its effort times a factor that "
    f"the order does not know (lognormal, sigma {SPREAD}); a free worker takes the most urgent "
    "task whose needs are done. Without: by the files' level, then in the plan's order. With: as "
    "the program does, the critical path raised by a level, equal ones by the effort of the "
    "heaviest chain that begins with them. Shown is the time to the last task's end over what no "
    "order could beat (the heaviest chain, or all work divided among the workers): median / worst "
    "of all plans. Saved: the median of what each plan takes less with it; then how many plans "
    "took longer with it than without, by more than a hundredth."
)

Order = Mapping[str, tuple[Any, ...]]
Tasks = list[dict[str, Any]]


def chain_beside_many(dice: Random) -> Tasks:
    """Sixty tasks that need nothing, and a row of ten that the file names last."""
    wide = [_task(f"w{number}", dice) for number in range(60)]
    chain = [
        _task(f"c{number}", dice, [f"c{number - 1}"] if number else []) for number in range(10)
    ]
    return wide + chain


def fan(dice: Random) -> Tasks:
    """A task that all wait for: forty alone, and a row of six behind the last of them."""
    wide = [_task(f"w{number}", dice, ["root"]) for number in range(40)]
    chain = [
        _task(f"c{number}", dice, [f"c{number - 1}" if number else "root"]) for number in range(6)
    ]
    return [_task("root", dice), *wide, *chain]


def features(dice: Random) -> Tasks:
    """Twelve features of model, service and tests, some in need of another, and their documents."""
    tasks = []
    for number in range(12):
        others = [f"s{dice.randrange(number)}"] if number and dice.random() < 0.4 else []
        tasks += [
            _task(f"m{number}", dice, others, f"app/models/m{number}.py"),
            _task(f"s{number}", dice, [f"m{number}"], f"app/services/s{number}.py"),
            _task(f"t{number}", dice, [f"s{number}"], f"tests/test_{number}.py"),
            _task(f"d{number}", dice, [], f"docs/{number}.md"),
        ]
    return tasks


def random_needs(dice: Random) -> Tasks:
    """A hundred tasks, two thirds of which need one to three of those before them."""
    tasks: Tasks = []
    for number in range(100):
        most = min(number, dice.choice((0, 1, 2, 3, 1, 0)))
        needs = [f"n{each}" for each in dice.sample(range(number), most)]
        tasks.append(_task(f"n{number}", dice, needs))
    return tasks


def unconnected(dice: Random) -> Tasks:
    """Eighty tasks that need nothing: only their efforts differ."""
    return [_task(f"n{number}", dice) for number in range(80)]


SHAPES: Mapping[str, Callable[[Random], Tasks]] = {
    "a row of 10 beside 60": chain_beside_many,
    "one, then 40 and a row of 6": fan,
    "12 features with files": features,
    "100 with random needs": random_needs,
    "80 that need nothing": unconnected,
}


def _task(
    name: str, dice: Random, needs: list[str] | None = None, file: str = ""
) -> dict[str, Any]:
    return {
        "id": name, "title": name, "effort": dice.randint(1, 5), "needs": needs or [],
        "files": [file] if file else [],
    }  # fmt: skip


def plan_of(tasks: Tasks) -> Plan:
    """The plan of these tasks."""
    agent = {"type": "command", "argv": ["true"]}
    document = {"version": 1, "name": "p", "agent": "a", "agents": {"a": agent}, "tasks": tasks}
    return Plan.model_validate(document)


def without(plan: Plan) -> Order:
    """The order by files, then by the plan."""
    return {
        task.id: (priority_of_files(task.files), place) for place, task in enumerate(plan.order())
    }


def with_path(plan: Plan) -> Order:
    """The program's order."""
    return {
        task.id: (plan.resolved(task).priority, -plan.chain_effort(task), place)
        for place, task in enumerate(plan.order())
    }


def makespan(plan: Plan, order: Order, seconds: Mapping[str, float], workers: int) -> float:
    """When the last task ends, where each free worker takes the first in this order."""
    open_needs = {task.id: set(task.needs) for task in plan.tasks}
    ready = [(order[name], name) for name, needs in open_needs.items() if not needs]
    heapify(ready)
    running: list[tuple[float, str]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < workers:
            name = heappop(ready)[1]
            heappush(running, (now + seconds[name], name))
        now, done = heappop(running)
        for name, needs in open_needs.items():
            if done in needs:
                needs.remove(done)
                if not needs:
                    heappush(ready, (order[name], name))
    return now


def least(plan: Plan, seconds: Mapping[str, float], workers: int) -> float:
    """What no order can beat."""
    ends: dict[str, float] = {}
    for task in plan.order():
        ends[task.id] = seconds[task.id] + max((ends[need] for need in task.needs), default=0.0)
    return max(*ends.values(), sum(seconds.values()) / workers)


def rows_of(shape: str, count: int) -> list[list[str]]:
    """The table's rows of one shape."""
    dice = Random(shape)
    drawn = []
    for _ in range(count):
        plan = plan_of(SHAPES[shape](dice))
        seconds = {task.id: plan.resolved(task).effort * dice.lognormvariate(0, SPREAD)
                   for task in plan.tasks}  # fmt: skip
        drawn.append((plan, seconds, without(plan), with_path(plan)))
    rows = []
    for workers in WORKERS:
        plain, path, saved = [], [], []
        for plan, seconds, before, after in drawn:
            bound = least(plan, seconds, workers)
            first, second = (makespan(plan, each, seconds, workers) for each in (before, after))
            plain.append(first / bound)
            path.append(second / bound)
            saved.append(1 - second / first)
        worse = sum(share < -0.01 for share in saved)
        rows.append([
            shape, str(workers), *(f"{statistics.median(each):.2f} / {max(each):.2f}"
                                   for each in (plain, path)),
            f"{100 * statistics.median(saved):.0f} %", f"{worse} of {count}",
        ])  # fmt: skip
    return rows


def main() -> None:
    """Simulate and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="a few plans, to see that it works")
    count = 5 if parser.parse_args().quick else 200
    rows = [row for shape in SHAPES for row in rows_of(shape, count)]
    show(
        "Makespan with and without the critical path", METHOD.format(plans=count),
        ("plan", "workers", "without", "with", "saved", "longer with it"), rows,
    )  # fmt: skip


if __name__ == "__main__":
    main()
