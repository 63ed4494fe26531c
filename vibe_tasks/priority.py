"""How urgent a job is: one scale, and the rule that reads it off file names.

Source of the rule: phase-1.6-components, "Priority Assigner"; requirement P1.
Its critical path is in `PriorityAssigner.sort_by_priority`: among equally urgent
tasks the one that the longest chain of others waits for comes first.
"""

from __future__ import annotations

import re
from collections import Counter
from enum import IntEnum
from typing import TYPE_CHECKING, Any, TypeVar

from vibe_tasks.plan_graph import chain_lengths
from vibe_tasks.suggestion import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

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
    `files`, `file`, `file_path`, `filename` or `path` decide. `id` and `needs`,
    where given, make the graph whose critical path breaks ties.
    """

    def __init__(self) -> None:
        self._given: Counter[Priority] = Counter()

    def assign_priority(self, task: Mapping[str, Any]) -> Priority:
        """Return the task's priority and count it.

        Raises:
            ValueError: The task states a priority that does not exist.
        """
        stated = task.get("priority")
        if stated is None or stated == "auto":
            level = priority_of_files(_files_of(task))
        else:
            level = parse_priority(stated)
        self._given[level] += 1
        return level

    def assign_all(self, tasks: Iterable[Mapping[str, Any]]) -> list[Priority]:
        """Return the priority of each task, in the same order."""
        return [self.assign_priority(task) for task in tasks]

    def sort_by_priority(self, tasks: Iterable[_Task]) -> list[_Task]:
        """Return the tasks, most urgent first; equal ones by the critical path, then as given."""
        given = list(tasks)
        waiting = chain_lengths(
            {str(task["id"]): _listed(task.get("needs")) for task in given if "id" in task}
        )
        levels = self.assign_all(given)
        ranks = [
            (level, -waiting.get(str(task.get("id")), 0))
            for task, level in zip(given, levels, strict=True)
        ]
        return [given[at] for at in sorted(range(len(given)), key=ranks.__getitem__)]

    def get_stats(self) -> dict[str, int]:
        """Return how many tasks got each priority so far, by its lower-case name."""
        return {level.name.lower(): self._given[level] for level in Priority}


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
