"""Running a benchmark as a user does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.processes import unmeasured

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def figures(script: str, *options: str, seconds: float) -> dict[str, Any]:
    """The figures that a benchmark prints; it must have ended well. Nothing measures it meanwhile:
    it starts hundreds of processes, each of which would take twice as long.
    """
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / f"{script}.py"), "--json", *options],
        env={**unmeasured(os.environ), "PYTHONPATH": str(BENCHMARKS.parent)}, cwd=BENCHMARKS.parent,
        capture_output=True, text=True, check=False, timeout=seconds,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-3000:]}"
    told: dict[str, Any] = json.loads(done.stdout)
    return told
