"""Which lanes an embedded worker serves."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from traceback import extract_tb

import vibe_tasks
from vibe_tasks.errors import SettingsError, VibeError
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
            importlib.import_module(name)
        except Exception as error:  # the edge of user code: whatever it raises is told
            raise SettingsError(f"VIBE_IMPORTS: cannot import {name}: {_said(error)}") from error
    return tuple(queue.name for queue in vibe_tasks.app.conf.task_queues)


def _said(error: Exception) -> str:
    """What an import came to, in one line, with its place in the user's modules."""
    if isinstance(error, SyntaxError):
        return f"{_near(error.filename)}:{error.lineno}: {error.msg}"
    ours = str(Path(vibe_tasks.__file__).parent), str(Path(importlib.__file__).parent), "<frozen "
    theirs = [
        frame for frame in extract_tb(error.__traceback__) if not frame.filename.startswith(ours)
    ]
    what = str(error) if isinstance(error, VibeError | ImportError) else repr(error)
    # Without one of theirs the module itself is not there.
    return f"{_near(theirs[-1].filename)}:{theirs[-1].lineno}: {what}" if theirs else what


def _near(file: str | None) -> str:
    """A file's path, from the current folder where it is in it."""
    path = Path(file or "?")
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
