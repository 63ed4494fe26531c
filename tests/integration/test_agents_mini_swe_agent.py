"""mini-swe-agent itself, from its package, with its own model of fixed answers. No network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.assignments import assignment
from vibe_tasks.agents.agent import AgentEvent
from vibe_tasks.agents.build import build_agent
from vibe_tasks.errors import TransientError
from vibe_tasks.plan_specs import CommandSpec

pytestmark = pytest.mark.usefixtures("mini_swe_agent")

SUBMIT = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"


class Notebook:
    """An attendant that keeps what it hears."""

    def __init__(self) -> None:
        self.events: list[AgentEvent] = []

    def heard(self, event: AgentEvent) -> None:
        """Keep it."""
        self.events.append(event)

    def stop_reason(self) -> None:
        """It may go on."""


def step(words: str, *commands: str) -> dict[str, object]:
    """An answer of the model: words and the commands that it wants to run."""
    usage = {"prompt_tokens": 100, "completion_tokens": 10}
    actions = [{"command": command} for command in commands]
    return {"role": "assistant", "content": words,
            "extra": {"actions": actions, "cost": 0.25, "response": {"usage": usage}}}  # fmt: skip


def agent(root: Path, monkeypatch: pytest.MonkeyPatch, *steps: dict[str, object]):
    """The preset's agent whose model answers with these steps."""
    monkeypatch.setenv("HOME", str(root))  # it keeps a configuration there
    model = {"model_class": "deterministic", "model_name": "fixed", "outputs": steps}
    (root / "plan").mkdir(exist_ok=True)
    (root / "plan" / "model.yaml").write_text(json.dumps({"model": model}), encoding="utf-8")
    spec = CommandSpec(preset="mini-swe-agent", args=("-c", "{plan_dir}/model.yaml"))
    return build_agent(spec, plan_dir=root / "plan")


def test_it_does_its_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The task reaches it whole, it edits the worktree, and tells what it did and what it cost."""
    prompt = "Write hello.txt: \N{PARTY POPPER} {{braces}}\n- 'quotes': \"both\"\n" + "x" * 200_000
    steps = (
        step("I write it.", "pwd > hello.txt", "ls -a > seen.txt"),
        step("It is there. mini-swe-agent wrote it.", f"{SUBMIT}; cat hello.txt"),
    )
    notebook = Notebook()
    job = assignment(tmp_path, prompt=prompt, attendant=notebook)
    (job.scratch / "trajectory.json").write_text("from an attempt that was cut off")
    answer = agent(tmp_path, monkeypatch, *steps).work(job)
    assert (job.worktree / "hello.txt").read_text().strip() == str(job.worktree)
    assert sorted(path.name for path in job.worktree.iterdir()) == ["hello.txt", "seen.txt"]
    assert answer.summary == f"It is there. mini-swe-agent wrote it.\n{job.worktree}"
    assert (answer.cost_usd, answer.model) == (0.5, "fixed")
    assert (answer.input_tokens, answer.output_tokens) == (200, 20)
    told = json.loads((job.scratch / "trajectory.json").read_text())
    assert any(prompt in str(message["content"]) for message in told["messages"])
    costs = [event.cost_usd for event in notebook.events if event.kind == "usage"]
    assert costs == [0.25, 0.5, 0.5], "it is known while it works"
    assert "I write it." in [event.text for event in notebook.events]


def test_it_breaks_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An exception of its own is a failure with a name; what was used until then is known."""
    notebook = Notebook()
    job = assignment(tmp_path, attendant=notebook)
    with pytest.raises(TransientError, match="IndexError: list index out of range"):
        agent(tmp_path, monkeypatch, step("One step.", "true")).work(job)
    assert notebook.events[-1].kind == "error"
    assert [e.cost_usd for e in notebook.events if e.kind == "usage"][-1] == 0.25
