"""How the user's shell finds this program again: for commands that are printed to be pasted."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

NAME = "vibe"


def program(*, anywhere: bool = False) -> str:
    """The word that starts this program again: `vibe`, or its path where that is not on the PATH.

    Args:
        anywhere: Also after a change of the folder.
    """
    used = Path(sys.argv[0])
    if used.name != NAME:  # `python -m`, or a program that calls us
        return NAME
    found = shutil.which(NAME)
    if found is not None and Path(found).samefile(used):
        return NAME
    return shlex.quote(str(used.absolute() if anywhere else used))
