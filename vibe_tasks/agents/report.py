"""A QA report or merge conflict in words, as the agent that is to mend it reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TypeGuard

LONGEST_OUTPUT = 4_000
"""Characters of one check's output that are kept; the end is where test runners say what failed."""


def rendered(report: Mapping[str, object]) -> str:
    """The report as text that ends with a newline.

    Failed checks come with their output, passed ones by name. Whatever else the report has,
    such as conflicted paths or the findings of reviewers, follows under its own name.
    """
    parts = ["The last version of this work was refused. Correct it; the reasons follow."]
    for key, value in report.items():
        if key == "checks" and _is_list(value):
            parts += [_check(item) for item in value]
        elif value not in (None, "", (), []):
            parts.append(_section(key, value))
    return "\n\n".join(parts) + "\n"


def checks_in_words(checks: Sequence[object]) -> str:
    """What the checks said: the failed ones with their output, the passed ones by name."""
    return "\n\n".join(_check(item) for item in checks)


def _check(item: object) -> str:
    if not isinstance(item, Mapping) or "command" not in item:
        return _value(item)
    command = item["command"]
    if item.get("passed"):
        return f"This check passed: {command}"
    if item.get("why") and not item.get("timed_out"):
        how = f"was ended because it {item['why']}"
    elif item.get("timed_out"):
        how = f"did not end in time ({_seconds(item.get('seconds'))})"
    else:
        how = f"failed with exit code {item.get('exit_code')}"
    output = str(item.get("output") or "").strip()[-LONGEST_OUTPUT:]
    text = f"This check {how}: {command}"
    return f"{text}\n{_indented(output)}" if output else text


def _section(key: str, value: object) -> str:
    title = key.replace("_", " ").capitalize()
    text = _value(value)
    return f"{title}:\n{_indented(text)}" if "\n" in text else f"{title}: {text}"


def _value(value: object) -> str:
    if isinstance(value, str):
        return value.strip()
    if _is_list(value) and all(isinstance(item, str) for item in value):
        return "\n".join(f"- {item}" for item in value)
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def _seconds(value: object) -> str:
    return f"{value:.0f} s" if isinstance(value, int | float) else "time unknown"


def _indented(text: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in text.splitlines())


def _is_list(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, Sequence) and not isinstance(value, str)
