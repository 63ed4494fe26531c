"""The environment that agents and checks run in."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_OURS = ("GIT_", "VIBE_", "CELERY_", "_MP_FORK_")
# What a virtual environment or a pool process leaves; the interpreter on PATH finds its own home.
_NEUTRAL = frozenset(
    {
        "FORKED_BY_MULTIPROCESSING",
        "PYTHONHOME",
        "VIRTUAL_ENV",
        "VIRTUAL_ENV_PROMPT",
        "__PYVENV_LAUNCHER__",
    }
)


def child_environment(base: Mapping[str, str], *, extra: Mapping[str, str]) -> dict[str, str]:
    """The environment for a child program.

    Our own settings, secrets among them, and whatever would redirect git or Python are left out.
    `python` is the interpreter that we run on.

    Args:
        base: Where to start from, as a rule os.environ.
        extra: Variables that are set in any case.
    """
    kept = {
        name: value
        for name, value in base.items()
        if not name.startswith(_OURS) and name not in _NEUTRAL
    }
    path = kept.get("PATH", os.defpath)
    if sys.executable:
        path = os.pathsep.join((str(Path(sys.executable).parent), path))
    return kept | {"PATH": path} | dict(extra)
