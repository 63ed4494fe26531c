"""`vibe doctor --agents`: what it finds of known coding agents on this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.agent_standins import put
from vibe_tasks.agents.known import PRESETS
from vibe_tasks.cli.main import cli
from vibe_tasks.tasks import resources


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the PATH, and a home of its own for this process."""
    folder = tmp_path / "bin"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VIBE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("CODEX_API_KEY", "secret")
    resources.settings_with_sources.cache_clear()
    return folder


def test_the_doctor_looks_for_agents(programs: Path):
    """Each known one with its version and which keys it is given; who is absent is no fault.

    One that is there and does not start is one, with the end of what it said.
    """
    put(programs, "codex", "")
    broken = put(programs, "claude", "")
    broken.write_text("#!/bin/sh\necho no node >&2\nexit 3\n")
    result = CliRunner().invoke(cli, ["doctor", "--agents", "--json"], prog_name="vibe")
    assert result.exit_code == 1, result.output
    found = {each["check"]: each for each in json.loads(result.stdout)}
    assert {f"agent {name}" for name in PRESETS} <= set(found)
    assert found["agent codex"]["text"] == "1.2.3, is given CODEX_API_KEY"
    assert found["agent gemini"] == {
        "check": "agent gemini", "ok": True, "text": "not installed", "mend": "", "there": False,
    }  # fmt: skip
    assert found["agent claude"]["text"] == "`claude --version` exited with 3: no node"
    assert not found["agent claude"]["ok"]
    assert "secret" not in result.output
