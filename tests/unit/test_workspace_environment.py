"""The environment of agents and checks."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from vibe_tasks.workspace.environment import ALLOWED, child_environment


def test_only_what_is_known_or_named_is_handed_on() -> None:
    """A child sees a few harmless variables and those named; no key that nobody gave it."""
    base = {
        "AWS_SECRET_ACCESS_KEY": "s", "PYTHONPATH": "x", "GIT_DIR": "x", "SSH_AUTH_SOCK": "x",
        "LLM_KEY": "k", "HOME": "/h", "LC_TIME": "C", "https_proxy": "p", "SSL_CERT_FILE": "c",
    }  # fmt: skip
    child = child_environment(base, extra={}, allowed=["LLM_KEY", "MISSING"])
    assert set(child) == {"HOME", "LC_TIME", "LLM_KEY", "PATH", "SSL_CERT_FILE", "https_proxy"}


def test_our_own_settings_stay_with_us() -> None:
    """A plan that names our settings, passwords among them, does not get them."""
    base = {"VIBE_DATABASE_URL": "s", "CELERY_BROKER_URL": "s"}
    assert set(child_environment(base, extra={}, allowed=base)) == {"PATH"}


def test_what_the_caller_adds_wins() -> None:
    """Variables given by value are set, ours included."""
    child = child_environment(
        {"VIBE_KIND": "old", "A": "1"}, extra={"VIBE_KIND": "dev", "A": "2"}, allowed=["A"]
    )
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


def test_the_page_names_every_variable() -> None:
    """Whoever misses a variable finds in the documents which ones are handed on."""
    page = (Path(__file__).parents[2] / "docs" / "isolation.md").read_text(encoding="utf-8")
    assert [name for name in ALLOWED if f"`{name}`" not in page and not name.islower()] == []
