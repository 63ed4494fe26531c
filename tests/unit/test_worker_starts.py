"""What a worker refuses or says when it starts."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from vibe_tasks.errors import InputError, SettingsError
from vibe_tasks.tasks import resources
from vibe_tasks.tasks.app import made_for_this_program
from vibe_tasks.tasks.main_process.steps import check_bounds, warn_of_no_stack


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home where nothing runs."""
    monkeypatch.setenv("VIBE_HOME", str(tmp_path))
    monkeypatch.delenv("VIBE_BROKER_URL", raising=False)
    resources.settings_with_sources.cache_clear()
    yield tmp_path
    resources.settings_with_sources.cache_clear()


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("program", ["celery.__main__", "vibe_tasks.tasks.dispatcher", None])
def test_wrong_settings_end_a_worker_with_one_line(
    program: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Celery would print a traceback around the line; it is started as a module or as a script."""
    spec = None if program is None else ModuleSpec(program, None)
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", spec)
    monkeypatch.setattr(sys, "argv", ["/usr/bin/celery", "worker"])
    monkeypatch.setenv("VIBE_LEASE_SECONDS", "0")
    with pytest.raises(SystemExit) as caught:
        made_for_this_program()
    assert caught.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith("vibe: VIBE_LEASE_SECONDS: ")
    assert len(told.splitlines()) == 1


@pytest.mark.usefixtures("home")
def test_wrong_settings_are_an_error_for_whoever_imports_us(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A user's program decides by itself what to do about them."""
    monkeypatch.setenv("VIBE_LEASE_SECONDS", "0")
    with pytest.raises(SettingsError, match="VIBE_LEASE_SECONDS"):
        made_for_this_program()


def test_bounds_of_a_pool_below_zero_are_refused() -> None:
    """`--autoscale=3,-1`; without the option there are none."""
    check_bounds(None)
    check_bounds((3, 0))
    with pytest.raises(InputError, match=r"--autoscale: .* got 3 and -1"):
        check_bounds((3, -1))


def test_a_worker_without_a_broker_says_what_is_missing(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, before Celery tries for ever; a broker that was named is the deployment's own."""
    with caplog.at_level(logging.WARNING):
        warn_of_no_stack()
        assert f"no stack runs in {home}: run `vibe up` there, or set VIBE_BROKER" in caplog.text
        caplog.clear()
        monkeypatch.setenv("VIBE_BROKER_URL", "redis://127.0.0.1:1/0")
        resources.settings_with_sources.cache_clear()
        warn_of_no_stack()
    assert caplog.text == ""
