"""Which lanes an embedded worker serves."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import vibe_tasks
from vibe_tasks.errors import SettingsError
from vibe_tasks.jobs import LANES
from vibe_tasks.plan import Plan
from vibe_tasks.tasks import resources


def served_lanes(plan: Plan | None = None) -> tuple[str, ...]:
    """The lanes of every deployment, of the plan and of the imported jobs, each once.

    Raises:
        SettingsError: A module of VIBE_IMPORTS cannot be imported.
    """
    lanes = list(LANES)
    if plan is not None:
        lanes += [plan.resolved(task).lane for task in plan.tasks]
    return tuple(dict.fromkeys([*lanes, *imported_lanes()]))


def imported_lanes() -> tuple[str, ...]:
    """The lanes of the jobs in the modules of VIBE_IMPORTS.

    Raises:
        SettingsError: One cannot be imported.
    """
    modules = resources.settings().imports
    if not modules:
        return ()
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)  # where the worker finds them too
    for name in modules:
        try:
            import_module(name)
        except ImportError as error:
            raise SettingsError(f"VIBE_IMPORTS: cannot import {name}: {error}") from error
    return tuple(queue.name for queue in vibe_tasks.app.conf.task_queues)
