"""The environment of agents and checks."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from vibe_tasks.workspace.environment import child_environment


def test_our_settings_and_secrets_stay_with_us() -> None:
    """A child sees none of our settings, nor what would redirect its git or Python."""
    base = {
        "VIBE_API_TOKEN": "secret", "CELERY_BROKER_URL": "x", "GIT_DIR": "x", "VIRTUAL_ENV": "x",
        "PYTHONHOME": "x", "FORKED_BY_MULTIPROCESSING": "1", "HOME": "/h", "LLM_KEY": "k",
    }  # fmt: skip
    child = child_environment(base, extra={})
    assert set(child) == {"HOME", "LLM_KEY", "PATH"}


def test_what_the_caller_adds_wins() -> None:
    """Variables given by name are set, ours included."""
    child = child_environment({"VIBE_KIND": "old", "A": "1"}, extra={"VIBE_KIND": "dev", "A": "2"})
    assert (child["VIBE_KIND"], child["A"]) == ("dev", "2")


@pytest.mark.parametrize(("path", "rest"), [({"PATH": "/a:/b"}, "/a:/b"), ({}, os.defpath)])
def test_python_is_the_interpreter_that_we_run_on(path: dict[str, str], rest: str) -> None:
    """`python` in a check finds the packages that the worker finds."""
    expected = f"{Path(sys.executable).parent}{os.pathsep}{rest}"
    assert child_environment(path, extra={})["PATH"] == expected


def test_an_embedded_interpreter_adds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Python does not know its own program, PATH stays as it is."""
    monkeypatch.setattr(sys, "executable", "")
    assert child_environment({"PATH": "/a"}, extra={})["PATH"] == "/a"
