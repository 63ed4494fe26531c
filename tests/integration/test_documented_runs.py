"""What the documents show whole ends well when it is pasted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents import ROOT, Block, blocks
from tests.processes import unmeasured

WHO = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Me"), ("EMAIL", "me@localhost"))
}
BASH = [each for each in blocks("bash") if each.runs]
SAID = {
    "README.md": ("plan todo-api completed", "2 of 2 tasks deployed", "Merge api"),
    "docs/quick-start.md": ("{'path': 'a.png', 'width': 100}", "pictures.thumbnail"),
    "docs/write-an-agent.md": ("plan sums completed", "fix", "return one + two"),
}
"""What the script of each page says at its end, among other things."""


def shown(language: str, page: str, number: int = 0) -> str:
    """The text of one of a page's blocks, counted from 0 within its language."""
    return [each for each in blocks(language) if each.where.startswith(f"{page}:")][number].text


def pasted(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run the lines in an empty folder, where the environment of `vibe` is active, and all else is
    a user's.
    """
    programs = folder / "bin"
    programs.mkdir()
    for name, begins in (("vibe", " -m vibe_tasks.cli.main"), ("python", "")):
        command = programs / name
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}"{begins} "$@"\n')
        command.chmod(0o755)
    place = folder / "hello"
    place.mkdir()
    kept = unmeasured(os.environ)
    kept = {name: value for name, value in kept.items() if not name.startswith("VIBE_")}
    return subprocess.run(
        ["bash", "-e", "-c", script], cwd=place, capture_output=True, text=True, timeout=120,
        check=False,
        env={**kept, **WHO, "PYTHONPATH": str(ROOT), "PATH": f"{programs}:{os.environ['PATH']}"},
    )  # fmt: skip


@pytest.mark.parametrize("block", BASH, ids=lambda block: block.where)
def test_a_pasted_script_ends_well(block: Block, tmp_path: Path):
    """From nothing to what the page promises: a branch, or a job's result."""
    done = pasted(tmp_path, block.text)
    assert done.returncode == 0, done.stdout + done.stderr
    for each in SAID[block.where.partition(":")[0]]:
        assert each in done.stdout, done.stdout


@pytest.mark.parametrize("page", ["docs/plan-file.md", "docs/agents.md"])
def test_a_plan_of_a_page_ends_well_with_its_agent(page: str, tmp_path: Path):
    """The plan of the page, beside the agent that the page names."""
    script = next(each.text for each in BASH if each.where.startswith("README"))
    agent = script.split("cat > agent.py <<'END'\n")[1].split("\nEND\n")[0]
    if page == "docs/agents.md":
        agent = shown("python", page)
    lines = [
        "git init --quiet --initial-branch main",
        f"cat > agent.py <<'END'\n{agent}\nEND",
        f"cat > plan.yaml <<'END'\n{shown('yaml', page)}END",
        "git add agent.py plan.yaml",
        "git commit --quiet --message 'A plan and its agent'",
        "vibe run plan.yaml",
    ]
    done = pasted(tmp_path, "\n".join(lines))
    assert done.returncode == 0, done.stderr
    assert " completed in " in done.stdout
