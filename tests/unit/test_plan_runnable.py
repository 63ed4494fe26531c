"""What a sound plan may ask for and this version does not have, refused before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from vibe_tasks.errors import PlanError
from vibe_tasks.flow.plan_source import no_model, on_path, read_plan

HEAD = """\
version: 1
name: todo
agent: mine
agents:
  mine: {type: command, argv: ["true"]}
  known: {type: command, preset: claude}
  model: {type: chat, model: qwen}
  nobody: {type: chat, model: "nobody:qwen"}
  keyless: {type: chat, model: "openai:qwen", api_key_env: NO_SUCH_KEY}
  lost: {type: command, argv: [nosuchprogram, x]}
  own: {type: command, argv: [./nosuchprogram]}
  beside: {type: command, argv: ["{plan_dir}", x]}
tasks:
  - id: a
    title: A
"""


def written(folder: Path, text: str) -> Path:
    """A plan file with this text."""
    path = folder / "plan.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("agent", "line", "key", "word"),
    [
        ("known", 6, "agents.known.preset", "no program 'claude' on the PATH"),
        ("model", 7, "agents.model.model", "must be provider:model, got 'qwen'"),
        ("nobody", 8, "agents.nobody.model", "Unknown provider: nobody"),
        ("keyless", 9, "agents.keyless.api_key_env", "variable NO_SUCH_KEY with the key is not"),
        ("lost", 10, "agents.lost.argv[0]", "no program 'nosuchprogram' on the PATH"),
    ],
)
def test_an_agent_that_cannot_be_run_is_refused_where_it_stands(
    tmp_path: Path, agent: str, line: int, key: str, word: str
) -> None:
    """With file, line and key, also when the command line chose it; who is not used may stay."""
    path = written(tmp_path, HEAD)
    assert read_plan(path, has_program=on_path).agent == "mine"
    with pytest.raises(PlanError, match=word) as caught:
        read_plan(path, agent=agent, has_program=on_path, no_chat=no_model)
    assert (caught.value.line, caught.value.key) == (line, key)
    assert str(caught.value).startswith(f"{path}:{line}: {key}: ")


def test_a_preset_cannot_work_without_the_network(tmp_path: Path) -> None:
    """A sandbox that takes its provider away is refused, not met by every job."""
    path = written(tmp_path, HEAD.replace("preset: claude", "preset: claude, sandbox: strict"))
    with pytest.raises(PlanError, match="claude needs the network") as caught:
        read_plan(path, agent="known")
    assert caught.value.key == "agents.known.sandbox"


def test_reviewers_must_be_there_too(tmp_path: Path) -> None:
    """An agent that only votes is looked at like one that works."""
    path = written(tmp_path, HEAD + "qa:\n  reviewers: [mine, mine, own]\n")
    assert read_plan(path, has_program=on_path).qa.reviewers == ("mine", "mine", "own")
    path = written(tmp_path, HEAD + "qa:\n  reviewers: [mine, lost]\n")
    with pytest.raises(PlanError, match="no program 'nosuchprogram'") as caught:
        read_plan(path, has_program=on_path)
    assert (caught.value.line, caught.value.key) == (10, "agents.lost.argv[0]")


@pytest.mark.parametrize("agent", ["own", "beside", "lost"])
def test_a_program_that_may_be_there_is_not_refused(tmp_path: Path, agent: str) -> None:
    """One in a folder may come with the repository, and another machine has another PATH."""
    path = written(tmp_path, HEAD)
    elsewhere = agent == "lost"
    plan = (
        read_plan(path, agent=agent)
        if elsewhere
        else read_plan(path, agent=agent, has_program=on_path)
    )
    assert plan.agent == agent


def test_a_sandbox_that_is_not_there_is_refused_where_it_is_asked_for(tmp_path: Path) -> None:
    """Each wish for a sandbox has its line; agents that nobody uses, and other plans, may stay."""
    confined = HEAD.replace('argv: ["true"]}', 'argv: ["true"], sandbox: strict}')
    confined = confined.replace("argv: [./nosuchprogram]}", "argv: [./own], sandbox: strict}")
    path = written(tmp_path, confined + "qa: {sandbox: strict}\n")
    with pytest.raises(PlanError) as caught:
        read_plan(path, no_sandbox=lambda: "bubblewrap (bwrap) is not installed")
    first, *others = str(caught.value).split("\n")
    assert first == f"{path}:5: agents.mine.sandbox: bubblewrap (bwrap) is not installed"
    assert len([line for line in others if "qa.sandbox" in line]) == 1
    assert not [line for line in others if "agents.own" in line]
    read_plan(path)

    def nobody_asks() -> str:
        raise AssertionError

    read_plan(written(tmp_path, HEAD), no_sandbox=nobody_asks)
