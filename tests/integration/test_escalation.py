"""One attempt at telling people, and what makes a handler of a function, without workers."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from vibe_tasks import Event, EventType, on_event
from vibe_tasks.errors import InputError, PermanentError, TransientError
from vibe_tasks.escalation import COMMAND, WEBHOOK
from vibe_tasks.jobs import Claim, Priority
from vibe_tasks.settings import Settings
from vibe_tasks.tasks import escalate, resources, subscriptions

MESSAGE = {"type": "TASK_DEAD", "why": "né"}
CLAIM = Claim(
    id="job-1", name=WEBHOOK, kind="event", lane="control", priority=Priority.HIGH, attempt=1,
    retry_count=0, max_retries=4, retry_base=1.0, args=(), kwargs={}, plan_id=None, task_id=None,
    round=0, time_limit=None,
)  # fmt: skip
EVENT = Event(
    event_type=EventType.QA_PASSED, task_id="store", timestamp=datetime(2026, 1, 2, tzinfo=UTC)
)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Gives this process a home and these settings."""
    monkeypatch.chdir(tmp_path)

    def use(**chosen: str) -> None:
        for name, value in {"home": str(tmp_path / "home"), **chosen}.items():
            monkeypatch.setenv(f"VIBE_{name.upper()}", value)
        resources.settings_with_sources.cache_clear()

    use()
    yield use
    resources.settings_with_sources.cache_clear()


def test_the_command_gets_the_message(settings: Callable[..., None], tmp_path: Path) -> None:
    """As JSON on standard input; its arguments are split as a shell does, and nothing more."""
    code = "import sys; open(sys.argv[1], 'w').write(sys.stdin.read())"
    settings(escalation_command=f'{sys.executable} -c "{code}" "{tmp_path}/a file;true"')
    escalate.by_command(MESSAGE, CLAIM)
    assert json.loads((tmp_path / "a file;true").read_text()) == MESSAGE


@pytest.mark.parametrize(
    ("command", "error", "words"),
    [
        ("sh -c 'echo no key; exit 3'", TransientError, "exited with 3: no key"),
        ("sleep 600", TransientError, r"did not end within 0\.3 s"),
        ("no-such-program-anywhere", PermanentError, "was not found"),
    ],
)
def test_a_command_that_fails_is_a_failure(
    settings: Callable[..., None], command: str, error: type[Exception], words: str
) -> None:
    """It is tried again, unless there is no such program; it cannot hold a worker for ever."""
    settings(escalation_command=command, escalation_timeout="0.3")
    with pytest.raises(error, match=words):
        escalate.by_command(MESSAGE, CLAIM)


def test_a_worker_without_the_setting_leaves_it_to_others(settings: Callable[..., None]) -> None:
    """An attempt fails, with words that say what is missing: no person counts as told."""
    settings()
    for tell, name in ((escalate.by_webhook, "WEBHOOK"), (escalate.by_command, "COMMAND")):
        with pytest.raises(TransientError, match=f"VIBE_ESCALATION_{name} is not set"):
            tell(MESSAGE, CLAIM)


def test_people_are_told_as_the_settings_say() -> None:
    """A worker subscribes what is set, and ends what is not."""
    found = subscriptions.escalation_of(Settings(escalation_command="notify"))
    assert (found[WEBHOOK], found[COMMAND] is not None) == (None, True)
    assert set(found) == {WEBHOOK, COMMAND}


def test_a_function_becomes_a_handler() -> None:
    """With the retries of the router, a lane and a time limit; called directly it is itself."""

    @on_event(EventType.QA_PASSED, "TaskCompleted", lane="qa")
    def note(event: Event) -> str:
        """Note it."""
        return event.task_id

    app = SimpleNamespace(tasks={note.name: note, "other": object()})
    (found,) = subscriptions.handlers_of(app)
    assert (found.types, found.lane, found.time_limit) == (
        {"QA_PASSED", "TaskCompleted"},
        "qa",
        60.0,
    )
    assert (note.max_retries, note.retry_base) == (4, 1.0)
    assert note(EVENT) == "store"
    assert note(event=EVENT.to_json()) == "store"


@pytest.mark.parametrize(
    ("types", "words"),
    [((), "needs an event type"), (("QA_PASED",), "did you mean 'QA_PASSED'"), (("",), "no event")],
)
def test_a_handler_of_nothing_is_refused(types: tuple[str, ...], words: str) -> None:
    """A misspelt type would never be heard of."""
    with pytest.raises(InputError, match=words):
        on_event(*types)
