"""From the plan's description of an agent to the agent."""

from __future__ import annotations

from pathlib import Path

from tests.documents import table, text_of, words_in
from vibe_tasks.agents.build import BUILDERS, build_agent
from vibe_tasks.agents.command import CommandAgent
from vibe_tasks.agents.known import PRESETS
from vibe_tasks.agents.preset import KEYS
from vibe_tasks.agents.preset_agent import PresetAgent
from vibe_tasks.agents.recorded import RecordedAgent
from vibe_tasks.agents.recording import RecordingAgent
from vibe_tasks.plan_specs import ChatSpec, CommandSpec, Limits, RecordedSpec, Surroundings

PLAN_DIR = Path("/plans/demo")


def test_a_command_is_built():
    """The argument list goes to the agent unchanged; `{plan_dir}` is filled in when it runs."""
    spec = CommandSpec(argv=("python", "{plan_dir}/agent.py"))
    agent = build_agent(spec, plan_dir=PLAN_DIR)
    assert agent == CommandAgent(("python", "{plan_dir}/agent.py"))


def test_recordings_are_looked_for_beside_the_plan():
    """A relative path starts at the plan file's folder, an absolute one stays."""
    agent = build_agent(RecordedSpec(path="tapes"), plan_dir=PLAN_DIR)
    assert agent == RecordedAgent(PLAN_DIR / "tapes")
    agent = build_agent(RecordedSpec(path="/tapes"), plan_dir=PLAN_DIR)
    assert agent == RecordedAgent(Path("/tapes"))


def test_any_agent_can_record():
    """With a folder to record to, the agent is wrapped."""
    spec = CommandSpec(argv=("true",))
    agent = build_agent(spec, plan_dir=PLAN_DIR, record_to=Path("/tapes"))
    assert agent == RecordingAgent(CommandAgent(("true",)), Path("/tapes"))


def test_a_preset_is_built_with_what_the_plan_says():
    """Model, arguments and surroundings go to its agent, with a clock and chance for its waits."""
    surroundings = Surroundings(env=("MY_KEY",), limits=Limits(memory=500))
    spec = CommandSpec(
        preset="codex", model="m", args=("--x",), env=("MY_KEY",), limits=Limits(memory=500)
    )

    def now() -> float:
        return 5.0

    assert build_agent(spec, plan_dir=PLAN_DIR, now=now, uniform=max) == PresetAgent(
        preset=PRESETS["codex"], model="m", args=("--x",), surroundings=surroundings,
        now=now, uniform=max,
    )  # fmt: skip


def test_every_preset_is_documented():
    """The page of agents names each program, and every variable that it is given."""
    rows = {words_in(cells[:1])[0]: cells for cells in table("docs/agents.md", "preset")}
    assert set(rows) == set(PRESETS)
    providers = "keys of providers"
    for name, preset in PRESETS.items():
        keys = set(words_in(rows[name][4:])) | (set(KEYS) if providers in rows[name][4] else set())
        assert keys == set(preset.keys), name
    assert all(f"`{key}`" in text_of("docs/agents.md") for key in KEYS)


def test_every_type_of_a_plan_has_a_builder():
    """What a plan may name can be built."""
    kinds = [spec.model_fields["type"].default for spec in (CommandSpec, ChatSpec, RecordedSpec)]
    assert set(BUILDERS) == set(kinds)
