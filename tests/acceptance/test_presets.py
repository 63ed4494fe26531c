"""A plan whose tasks are done by known coding agents: one of them real, the others stand-ins."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.acceptance.plan_folder import branch_files, make_plan, outcomes
from tests.acceptance.vibe_command import Vibe
from tests.agent_standins import DOES_ITS_WORK, put

ONCE = """
def first():
    mark = Path(__file__).parent / "been-here"
    been = mark.exists()
    mark.touch()
    return not been
"""
REFUSED = f"""{ONCE}
if first():
    say("You've hit your limit. Try again in 1 second.")
    sys.exit(1)
{DOES_ITS_WORK}
"""
FOLDER_GONE = f"""{ONCE}
import shutil
if first():
    shutil.rmtree(os.getcwd())
    say(*WORK)
    sys.exit(0)
{DOES_ITS_WORK.replace("a.py", "b.py")}
"""


def fixed_model(folder: Path) -> None:
    """The answers of mini-swe-agent's own model, in a file beside the plan."""
    submit = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT; echo written"
    answers = [
        {"role": "assistant", "content": words,
         "extra": {"actions": [{"command": command}], "cost": 0.25}}
        for words, command in (("I write it.", "echo real > real.txt"), ("Done.", submit))
    ]  # fmt: skip
    model = {"model_class": "deterministic", "model_name": "fixed", "outputs": answers}
    (folder / "model.yaml").write_text(json.dumps({"model": model}), encoding="utf-8")


@pytest.mark.usefixtures("mini_swe_agent")
def test_a_plan_is_done_by_known_agents(vibe: Vibe):
    """What they did is deployed, and what they told of it is in the report and in the event log.

    A usage limit costs no attempt, and a worktree that an agent deleted one.
    """
    put(vibe.folder / "claude-bin", "claude", REFUSED)
    put(vibe.folder / "codex-bin", "codex", FOLDER_GONE)
    fixed_model(vibe.folder)
    agents = {
        "claude": {"type": "command", "preset": "claude"},
        "codex": {"type": "command", "preset": "codex", "price": {"input": 100, "output": 2000}},
        "mine": {"type": "command", "preset": "mini-swe-agent",
                 "args": ["-c", "{plan_dir}/model.yaml"]},
    }  # fmt: skip
    tasks = [
        {"id": "limited", "agent": "claude", "max_retries": 1, "checks": ["test -f a.py"]},
        {"id": "gone", "agent": "codex", "checks": ["test -f b.py"]},
        {"id": "real", "checks": ["test -f real.txt"]},
    ]
    plan = make_plan(vibe.folder, tasks, agents=agents)
    path = f"{vibe.folder}/claude-bin:{vibe.folder}/codex-bin:{os.environ['PATH']}"
    report = vibe.run("run", plan, "--json", PATH=path, HOME=str(vibe.folder)).report
    assert set(outcomes(report).values()) == {"deployed"}, report
    files = branch_files(vibe.folder)
    assert files["real.txt"] == "real"
    assert files["a.py"] == "Do limited"
    # The attempt that failed has used something as well; codex tells no cost, so the plan's price
    # counts: 0.1 dollars read and 0.1 written, twice.
    assert report["tokens"] == {"input": 200 + 2 * 1000, "output": 10 + 2 * 50}
    assert report["cost_usd"] == pytest.approx(0.25 + 0.5 + 2 * 0.2)
    kinds = {kind for (kind,) in vibe.rows("SELECT hook_event_type FROM events")}
    assert {"AGENT_LIMITED", "AgentSession", "AgentMessage", "AgentToolUse"} <= kinds
