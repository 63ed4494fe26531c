"""The scripted agent, which notes each start in the file of its first argument, and with a second
one ends only once that file is there.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def write(path: str, text: str) -> None:
    """Write a file of the worktree."""
    Path(path).write_text(text, encoding="utf-8")


def until(condition: Callable[[], bool], *, seconds: float = 60.0) -> None:
    """Wait for this; a program of its own has no better way than to look again and again."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)  # noqa: TID251


def main() -> None:
    """Run the prompt."""
    with Path(sys.argv[1]).open("a", encoding="utf-8") as log:
        log.write(f"{os.environ['VIBE_TASK_ID']} {os.environ['VIBE_KIND']}\n")
    if len(sys.argv) > 2:
        until(Path(sys.argv[2]).exists)
    job: dict[str, Any] = json.loads(Path(os.environ["VIBE_TASK_FILE"]).read_text("utf-8"))
    exec(compile(job["task"]["prompt"], "prompt", "exec"), {"env": os.environ, "write": write})  # noqa: S102
    print(json.dumps({"summary": "done", "input_tokens": 7, "output_tokens": 2}))


if __name__ == "__main__":
    main()
