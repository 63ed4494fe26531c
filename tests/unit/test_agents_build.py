"""From the plan's description of an agent to the agent."""

from __future__ import annotations

from pathlib import Path

import pytest

from vibe_tasks.agents.build import BUILDERS, build_agent
from vibe_tasks.agents.command import CommandAgent
from vibe_tasks.agents.recorded import RecordedAgent
from vibe_tasks.agents.recording import RecordingAgent
from vibe_tasks.errors import InputError
from vibe_tasks.plan import ChatSpec, CommandSpec, RecordedSpec

PLAN_DIR = Path("/plans/demo")


def test_a_command_is_built():
    """The argument list goes to the agent unchanged; `{plan_dir}` is filled in when it runs."""
    spec = CommandSpec(argv=("python", "{plan_dir}/agent.py"))
    agent = build_agent("mine", spec, plan_dir=PLAN_DIR)
    assert agent == CommandAgent(("python", "{plan_dir}/agent.py"))


def test_recordings_are_looked_for_beside_the_plan():
    """A relative path starts at the plan file's folder, an absolute one stays."""
    agent = build_agent("taped", RecordedSpec(path="tapes"), plan_dir=PLAN_DIR)
    assert agent == RecordedAgent(PLAN_DIR / "tapes")
    agent = build_agent("taped", RecordedSpec(path="/tapes"), plan_dir=PLAN_DIR)
    assert agent == RecordedAgent(Path("/tapes"))


def test_any_agent_can_record():
    """With a folder to record to, the agent is wrapped."""
    spec = CommandSpec(argv=("true",))
    agent = build_agent("mine", spec, plan_dir=PLAN_DIR, record_to=Path("/tapes"))
    assert agent == RecordingAgent(CommandAgent(("true",)), Path("/tapes"))


def test_kinds_that_are_not_there_yet_are_refused_by_name():
    """A plan may name them; running one says plainly that this version cannot."""
    with pytest.raises(InputError, match="agent 'local': type chat is not available"):
        build_agent("local", ChatSpec(model="openai:x"), plan_dir=PLAN_DIR)
    with pytest.raises(InputError, match="agent 'claude': preset claude is not available"):
        build_agent("claude", CommandSpec(preset="claude"), plan_dir=PLAN_DIR)


def test_every_builder_is_a_type_of_the_plan():
    """The registry names no type that a plan would refuse."""
    assert set(BUILDERS) <= {"command", "chat", "recorded"}
