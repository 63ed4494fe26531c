from __future__ import annotations

import inspect
import math
import pickle
import re

import pytest

from vibe_tasks import errors
from vibe_tasks.errors import PlanError, Snooze, TransientError, VibeError

CLASSES = [each for _, each in inspect.getmembers(errors, inspect.isclass)]


def test_all_errors_are_in_the_tree_of_the_docstring() -> None:
    """The drawing is the truth: each class is there, below its base."""
    drawn = re.findall(r"^([ │├└─]*)(\w*Error|Snooze|Cancel)\b", errors.__doc__ or "", re.MULTILINE)
    depth = {name: len(indent) for indent, name in drawn}
    order = [name for _, name in drawn]
    assert set(depth) == {each.__name__ for each in CLASSES}
    for each in CLASSES:
        if each is not VibeError:
            before = order[: order.index(each.__name__)]
            parent = next(name for name in reversed(before) if depth[name] < depth[each.__name__])
            assert each.__bases__[0].__name__ == parent


@pytest.mark.parametrize(
    ("options", "text"),
    [({}, "bad"), ({"file": "plan.yaml"}, "plan.yaml: bad"),
     ({"file": "plan.yaml", "line": 3}, "plan.yaml:3: bad"),
     ({"file": "p", "line": 3, "key": "tasks[2].needs"}, "p:3: tasks[2].needs: bad"),
     ({"key": "name"}, "name: bad")],
)  # fmt: skip
def test_a_plan_error_says_where(options: dict[str, object], text: str) -> None:
    """File, line and key, as far as they are known."""
    assert str(PlanError("bad", **options)) == text  # type: ignore[arg-type]


def test_a_transient_error_may_say_when() -> None:
    """`retry_after` is optional."""
    assert TransientError("busy").retry_after is None
    assert TransientError("busy", retry_after=5).retry_after == 5


@pytest.mark.parametrize("seconds", [-1, math.nan, math.inf])
def test_a_snooze_into_the_past_is_refused(seconds: float) -> None:
    """The message names the value."""
    with pytest.raises(ValueError, match="zero or more"):
        Snooze(seconds)


@pytest.mark.parametrize(
    "error", [PlanError("bad", file="p", line=3), TransientError("busy"), VibeError("x")]
)
def test_errors_survive_the_way_between_processes(error: VibeError) -> None:
    """A pool process sends its error to the main process by pickle."""
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301


def test_a_snooze_survives_it_too() -> None:
    """With its seconds."""
    assert pickle.loads(pickle.dumps(Snooze(5.0))).seconds == 5.0  # noqa: S301
