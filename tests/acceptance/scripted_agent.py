"""An agent that does what the task's prompt tells it: Python code, run in the worktree.

The code finds the environment in `env`, the whole task file in `job`, and `write(path, text)`.
Without a prompt it changes nothing.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any


def write(path: str, text: str) -> None:
    """Write a file of the worktree, folders included."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text, encoding="utf-8")


def main() -> None:
    """Run the prompt."""
    job: dict[str, Any] = json.loads(Path(os.environ["VIBE_TASK_FILE"]).read_text("utf-8"))
    code = job["task"]["prompt"]
    scope = {"env": os.environ, "job": job, "os": os, "sys": sys, "write": write}
    exec(compile(code, "prompt", "exec"), scope)  # noqa: S102  that is what it is for


if __name__ == "__main__":
    main()
