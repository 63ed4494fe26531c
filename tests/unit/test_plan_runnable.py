"""What a sound plan may ask for and this version does not have, refused before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from vibe_tasks.errors import PlanError
from vibe_tasks.flow.plan_source import on_path, read_plan

HEAD = """\
version: 1
name: todo
agent: mine
agents:
  mine: {type: command, argv: ["true"]}
  known: {type: command, preset: claude}
  model: {type: chat, model: m}
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
        ("known", 6, "agents.known.preset", "preset claude is not available"),
        ("model", 7, "agents.model.type", "type chat is not available"),
        ("lost", 8, "agents.lost.argv[0]", "no program 'nosuchprogram' on the PATH"),
    ],
)
def test_an_agent_that_cannot_be_run_is_refused_where_it_stands(
    tmp_path: Path, agent: str, line: int, key: str, word: str
) -> None:
    """With file, line and key, also when the command line chose it; who is not used may stay."""
    path = written(tmp_path, HEAD)
    assert read_plan(path, has_program=on_path).agent == "mine"
    with pytest.raises(PlanError, match=word) as caught:
        read_plan(path, agent=agent, has_program=on_path)
    assert (caught.value.line, caught.value.key) == (line, key)
    assert str(caught.value).startswith(f"{path}:{line}: {key}: ")


def test_reviewers_are_refused_where_they_stand(tmp_path: Path) -> None:
    """They are planned: the line says what there is instead."""
    path = written(tmp_path, HEAD + "qa:\n  reviewers: [mine]\n")
    with pytest.raises(PlanError, match=r"qa\.checks") as caught:
        read_plan(path)
    assert (caught.value.line, caught.value.key) == (15, "qa.reviewers")


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
