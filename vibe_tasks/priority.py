"""How urgent a job is: one scale, and the rules that read it off file names and the plan's graph.

The files give a level. What is on the plan's critical path, by effort, is raised by one level, not
beyond CRITICAL; and among equally urgent tasks the one with the heaviest chain of work still to
come goes first. A priority that somebody has stated is left alone.
Source: phase-1.6-components, "Priority Assigner"; requirement P1. The chain as the order of list
scheduling: T. C. Hu, "Parallel Sequencing and Assembly Line Problems", Operations Research 9, 1961.
"""

from __future__ import annotations

import re
from collections import Counter
from enum import IntEnum
from typing import TYPE_CHECKING, Any, TypeVar

from vibe_tasks.plan_graph import chain_weights, critical_path
from vibe_tasks.suggestion import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

EFFORT = 2
"""Of a task that does not say, from 1 (trivial) to 5 (hard)."""

_Task = TypeVar("_Task", bound="Mapping[str, Any]")


class Priority(IntEnum):
    """Urgency of a job; lower is sooner, as in Redis."""

    FIX = 0  #: mends work that failed QA; goes before everything else
    CRITICAL = 1  #: most other work depends on it
    HIGH = 2  #: much other work depends on it
    NORMAL = 3  #: nothing special is known about it
    LOW = 4  #: nothing waits for it


def parse_priority(value: str | int | Priority) -> Priority:
    """Return the priority of a name (any case) or of its number.

    Raises:
        ValueError: No such priority; the message names the near miss.
    """
    names = [level.name.lower() for level in Priority]
    if isinstance(value, str):
        if value.lower() in names:
            return Priority[value.upper()]
        raise ValueError(
            f"priority must be one of {', '.join(names)}, got {value!r}"
            + did_you_mean(value, names)
        )
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(names):
        return Priority(value)
    raise ValueError(f"priority must be a name or a number from 0 to 4, got {value!r}")


# A test of main.py is a test: the words of LOW are looked for first.
_WORDS = {
    Priority.LOW: {"test", "tests", "testing", "conftest"}
    | {"doc", "docs", "documentation", "readme", "changelog", "example", "examples"},
    Priority.CRITICAL: {"main", "config", "configs", "configuration", "conf", "init", "core"},
    Priority.HIGH: {"model", "models", "schema", "schemas", "database", "databases", "db"}
    | {"auth", "authentication", "authorization", "authorisation"},
}
_ONLY_AS_FILE = frozenset({"main", "init"})  # src/main/java says nothing about a file
_PROSE = (".md", ".rst", ".adoc")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


def priority_of_files(files: Iterable[str]) -> Priority:
    """Return the most urgent priority of these paths; NORMAL when there are none."""
    return min(map(_priority_of_file, files), default=Priority.NORMAL)


def raised(level: Priority) -> Priority:
    """Return the level that a task of this one has on the critical path."""
    return level if level <= Priority.CRITICAL else Priority(level - 1)


def priority_of_task(
    files: Iterable[str], *, stated: str = "auto", critical: bool = False
) -> Priority:
    """Return a task's priority.

    Args:
        files: What it is about.
        stated: What the plan says: a name, or `auto`.
        critical: Whether it is on the plan's critical path.

    Raises:
        ValueError: No such priority was stated.
    """
    if stated != "auto":
        return parse_priority(stated)
    level = priority_of_files(files)
    return raised(level) if critical else level


def explain_priority(
    files: Iterable[str], *, stated: str = "auto", critical: bool = False, ahead: int = 0
) -> str:
    """Return why a task has its priority, in words for people.

    Args:
        files: As for `priority_of_task`.
        stated: Likewise.
        critical: Likewise.
        ahead: Effort of the heaviest chain of tasks that wait for it.
    """
    paths = list(files)
    level = priority_of_files(paths)
    found = priority_of_task(paths, stated=stated, critical=critical)
    if stated != "auto":
        words = "stated in the plan"
    elif not paths:
        words = "no files named" if level is found else f"no files named ({level.name.lower()})"
    else:
        path = next(each for each in paths if _priority_of_file(each) is level)
        words = f"by {path}" if level is found else f"by {path} ({level.name.lower()})"
    if stated == "auto" and critical:
        words += (
            ", raised: on the critical path" if level is not found else ", on the critical path"
        )
    if ahead:
        words += f", effort {ahead} waits for it in a row"
    return words


def _priority_of_file(path: str) -> Priority:
    """Look for whole words: `authors.py` is not about auth, nor `domain.py` main.

    Words are split at camel case, digits and punctuation, folders included.
    """
    folders, _, name = path.replace("\\", "/").rpartition("/")
    if name.lower().endswith(_PROSE):
        return Priority.LOW
    words = {word.lower() for word in _WORD.findall(folders)} - _ONLY_AS_FILE
    words.update(word.lower() for word in _WORD.findall(name))
    for level, signs in _WORDS.items():
        if words & signs:
            return level
    return Priority.NORMAL


class PriorityAssigner:
    """Gives priorities to tasks in bulk, sorts them, and counts what it gave.

    A task is a mapping. `priority` is taken when given and not `auto`; otherwise
    `files`, `file`, `file_path`, `filename` or `path` decide. `id`, `needs` and `effort`
    (2 where it is missing), where given, make the graph with the critical path.
    """

    def __init__(self) -> None:
        self._given: Counter[Priority] = Counter()

    def assign_priority(self, task: Mapping[str, Any]) -> Priority:
        """Return the priority of a task that stands alone, and count it.

        Raises:
            ValueError: The task states a priority that does not exist.
        """
        return self._assign(task, critical=False)

    def assign_all(self, tasks: Iterable[Mapping[str, Any]]) -> list[Priority]:
        """Return the priority of each task of one plan, in the same order, and count them.

        Raises:
            ValueError: A task states a priority that does not exist.
        """
        given = list(tasks)
        on_path = critical_path(*_graph_of(given))
        return [self._assign(task, critical=str(task.get("id")) in on_path) for task in given]

    def sort_by_priority(self, tasks: Iterable[_Task]) -> list[_Task]:
        """Return the tasks of one plan, most urgent first, each counted.

        Equal ones by the heaviest chain of work that begins with them, then as given.
        """
        given = list(tasks)
        chains = chain_weights(*_graph_of(given))
        levels = self.assign_all(given)
        ranks = [
            (level, -chains.get(str(task.get("id")), _effort_of(task)))
            for task, level in zip(given, levels, strict=True)
        ]
        return [given[at] for at in sorted(range(len(given)), key=ranks.__getitem__)]

    def _assign(self, task: Mapping[str, Any], *, critical: bool) -> Priority:
        stated = task.get("priority")
        if stated is None or stated == "auto":
            level = priority_of_task(_files_of(task), critical=critical)
        else:
            level = parse_priority(stated)
        self._given[level] += 1
        return level

    def get_stats(self) -> dict[str, int]:
        """Return how many tasks got each priority so far, by its lower-case name."""
        return {level.name.lower(): self._given[level] for level in Priority}


def _graph_of(
    tasks: Iterable[Mapping[str, Any]],
) -> tuple[dict[str, Sequence[str]], dict[str, int]]:
    known = {str(task["id"]): task for task in tasks if "id" in task}
    graph = {name: _listed(task.get("needs")) for name, task in known.items()}
    return graph, {name: _effort_of(task) for name, task in known.items()}


def _effort_of(task: Mapping[str, Any]) -> int:
    effort = task.get("effort")
    return EFFORT if effort is None else int(effort)


def _files_of(task: Mapping[str, Any]) -> Sequence[str]:
    for key in ("files", "file", "file_path", "filename", "path"):
        if task.get(key):
            return _listed(task[key])
    return ()


def _listed(value: object) -> Sequence[str]:
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list | tuple | set | frozenset):
        return tuple(str(item) for item in value)
    raise ValueError(f"expected a name or a list of names, got {value!r}")
