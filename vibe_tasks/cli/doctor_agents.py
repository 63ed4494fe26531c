"""`vibe doctor --agents`: which known coding agents are installed, and whether they start."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from vibe_tasks.agents.chat import MISSING, is_installed
from vibe_tasks.agents.known import PRESETS
from vibe_tasks.agents.preset import Preset
from vibe_tasks.errors import AttemptError
from vibe_tasks.finding import Finding
from vibe_tasks.flow.plan_source import on_path
from vibe_tasks.tasks import resources
from vibe_tasks.workspace.environment import child_environment
from vibe_tasks.workspace.process import Finished, run

PATIENCE = 20.0
"""Seconds for a program to tell its version; some start slowly the first time."""

_VERSION = re.compile(r"\d+(?:\.\d+)+(?:[-+]\w+)*")


def known_agents() -> Iterator[Finding]:
    """Look for each known program and ask it something harmless; one that is absent is no fault."""
    for preset in PRESETS.values():
        check = f"agent {preset.name}"
        if not on_path(preset.name):
            yield Finding(check=check, ok=True, text="not installed", there=False)
            continue
        try:
            yield _answered(preset, check, _probed(preset))
        except AttemptError as error:
            yield Finding(check=check, ok=False, text=str(error), mend="install it anew")
    if is_installed():
        yield Finding(check="agent chat", ok=True, text="installed")
    else:
        text = f"not installed: {MISSING}"
        yield Finding(check="agent chat", ok=True, text=text, there=False)


def _answered(preset: Preset, check: str, finished: Finished) -> Finding:
    said = finished.output.strip()
    if finished.exit_code != 0:
        how = finished.why or f"exited with {finished.exit_code}"
        last = said.rsplit("\n", 1)[-1][:200]
        text = f"`{' '.join((preset.name, *preset.probe))}` {how}{f': {last}' if last else ''}"
        return Finding(check=check, ok=False, text=text, mend=f"see why {preset.name} fails")
    version = _VERSION.search(said)
    keys = [name for name in preset.keys if os.environ.get(name)]
    given = f"is given {', '.join(keys) or 'no key, so needs a login of its own'}"
    return Finding(check=check, ok=True, text=f"{version[0] if version else 'starts'}, {given}")


def _probed(preset: Preset) -> Finished:
    """Run its probe in an empty folder, surrounded as it is at work."""
    with TemporaryDirectory(prefix="vibe-probe-", ignore_cleanup_errors=True) as folder:
        return run(
            [preset.name, *preset.probe],
            cwd=Path(folder),
            env=child_environment(
                os.environ, extra=preset.variables,
                allowed=(*preset.keys, *resources.settings().agent_env),
            ),
            timeout=PATIENCE,
            log=Path(folder) / "probe.log",
        )  # fmt: skip
