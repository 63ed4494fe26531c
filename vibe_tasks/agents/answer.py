"""What agents say about their work, read without trusting a word of it.

Values of a wrong type, negative ones and numbers beyond reason count as not given; long texts
are cut.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

from vibe_tasks.agents.agent import Answer
from vibe_tasks.failures import bounded

LONGEST_SUMMARY = 4_000
"""Characters kept of a summary, and of each finding."""

MOST_FINDINGS = 100
"""Findings kept of one review."""

LARGEST_COUNT = 2**53
"""Above this no count of tokens is believed; also the largest whole number JSON keeps exactly."""

DEAREST = 100.0
"""US dollars that one answer of a model may cost; a line that tells of more is not believed."""

_MOST_OBJECTS = 200  # places where a JSON object might begin that are tried, from the end

_DECODER = json.JSONDecoder()


def read_answer(stdout: str) -> Answer:
    """What the last line of a program's standard output says, where it is a JSON object."""
    said = json_object(stdout.rstrip().rsplit("\n", 1)[-1])
    verdict, findings = _judgement(said)
    return Answer(
        summary=text(said.get("summary")),
        input_tokens=count(said.get("input_tokens")),
        output_tokens=count(said.get("output_tokens")),
        cost_usd=amount(said.get("cost_usd")),
        verdict=verdict,
        findings=findings,
    )


def read_review(message: str) -> tuple[str | None, tuple[str, ...]]:
    """Verdict and findings of the last JSON object in a message that has a verdict.

    It may stand between other words or in a block of code; without one the verdict is None.
    """
    end = len(message)
    for _ in range(_MOST_OBJECTS):
        end = message.rfind("{", 0, end)
        if end < 0:
            break
        try:
            said, _last = _DECODER.raw_decode(message, end)
        except (ValueError, RecursionError):  # RecursionError: brackets nested without end
            continue
        if isinstance(said, dict) and said.get("verdict") in ("pass", "fail"):
            return _judgement(said)
    return None, ()


def json_object(line: str) -> Mapping[str, object]:
    """The JSON object that a line is; empty where it is none."""
    if not line.lstrip().startswith("{"):
        return {}
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):  # RecursionError: brackets nested without end
        return {}
    return said if isinstance(said, dict) else {}


def text(value: object) -> str:
    """A text for people, or an empty one."""
    return bounded(value).strip()[:LONGEST_SUMMARY] if isinstance(value, str) else ""


def count(value: object) -> int:
    """A whole number that may be a count of tokens, or 0."""
    if isinstance(value, bool) or not isinstance(value, int):
        return 0
    return value if 0 <= value <= LARGEST_COUNT else 0


def amount(value: object) -> float:
    """A sum of money, or 0."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return float(value) if 0 <= value <= LARGEST_COUNT and math.isfinite(value) else 0.0


def _judgement(said: Mapping[str, object]) -> tuple[str | None, tuple[str, ...]]:
    verdict = said.get("verdict")
    findings = said.get("findings")
    return (
        verdict if isinstance(verdict, str) and verdict in ("pass", "fail") else None,
        _findings(findings) if isinstance(findings, list) else (),
    )


def _findings(values: Sequence[object]) -> tuple[str, ...]:
    texts = (text(v if isinstance(v, str) else json.dumps(v)) for v in values[:MOST_FINDINGS])
    return tuple(each for each in texts if each)
