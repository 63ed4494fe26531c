"""The kinds of value that a plan holds, each with what makes it acceptable."""

from __future__ import annotations

import re
from typing import Annotated, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, Strict

from vibe_tasks.labels import MOST_POINTS, is_label
from vibe_tasks.lane_name import OWN
from vibe_tasks.plan_problems import shown
from vibe_tasks.plan_text import Plain

MAX_SECONDS = 604_800.0
"""A week; nothing a person waits for takes longer, and timers overflow far above it."""

_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
_PLAN_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,99}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_DRIVE = re.compile(r"[A-Za-z]:")


def _number(value: object) -> object:
    if isinstance(value, Plain):
        number = value.number()
        return value if number is None else number
    return value


def _yes_or_no(value: object) -> object:
    if isinstance(value, Plain):
        return {"true": True, "false": False}.get(str(value).lower(), value)
    return value


def _not_empty(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    return value


def _plan_name(value: str) -> str:
    if not _PLAN_NAME.fullmatch(value):
        raise ValueError(
            f"must be at most 100 of a-z, 0-9 and `-`, and not begin with `-`, got {shown(value)}"
        )
    return value


def _name(value: str) -> str:
    if value in {".", ".."} or not _NAME.fullmatch(value):
        raise ValueError(
            "must be 1 to 100 of A-Z, a-z, 0-9, `.`, `_` and `-`, and not `.` or `..`,"
            f" got {shown(value)}"
        )
    return value


def _lane(value: str) -> str:
    if _name(value).startswith(OWN):
        raise ValueError(f"must not begin with `{OWN}`, as workers' own queues do")
    return value


def _inside(value: str) -> str:
    """Refuse a path that leaves the repository, wherever the repository will be."""
    parts = _not_empty(value).replace("\\", "/").split("/")
    depth = 0
    for part in parts:
        depth += {"..": -1, ".": 0, "": 0}.get(part, 1)
        if depth < 0:
            break
    if depth < 0 or parts[0] in {"", "~"} or _DRIVE.match(value):
        raise ValueError(f"must be a path inside the repository, got {shown(value)}")
    if ".git" in parts:
        raise ValueError(f"must not be inside .git, got {shown(value)}")
    return value


def _git_word(value: str) -> str:
    """Refuse what git would take for an option."""
    if _not_empty(value).startswith("-"):
        raise ValueError(f"must not begin with `-`, got {shown(value)}")
    return value


def _variable(value: str) -> str:
    # The value is not shown: it may be the key itself, written in the wrong place.
    if not _VARIABLE.fullmatch(value):
        raise ValueError("must be the name of an environment variable, not a key")
    if value.startswith(("VIBE_", "CELERY_")):
        raise ValueError(f"settings of ours, such as {value}, are not handed on")
    return value


def _label(value: str) -> str:
    if not is_label(value):
        raise ValueError(f"must be a label of letters, digits and `._:/=@+-`, got {shown(value)}")
    return value


def _some(value: object) -> object:
    """One label alone may be written as a text, as in a call."""
    return [value] if isinstance(value, str) else value


def _web_address(value: str) -> str:
    # The value is not shown: this part of it may be a key, which would get into events and logs.
    if "@" in re.split(r"[/?#\\]", value.partition("://")[2] or value)[0]:
        raise ValueError("must hold no user or password; `api_key_env` names the key's variable")
    if not value.startswith(("http://", "https://")):
        raise ValueError(f"must begin with http:// or https://, got {shown(value)}")
    urlsplit(value)  # refuses half an IPv6 address
    return value


Text: TypeAlias = Annotated[str, Strict()]
FilledText: TypeAlias = Annotated[Text, AfterValidator(_not_empty)]
PlanName: TypeAlias = Annotated[Text, AfterValidator(_plan_name)]
Name: TypeAlias = Annotated[Text, AfterValidator(_name)]
Lane: TypeAlias = Annotated[Text, AfterValidator(_lane)]
PathInside: TypeAlias = Annotated[Text, AfterValidator(_inside)]
GitWord: TypeAlias = Annotated[Text, AfterValidator(_git_word)]
Variable: TypeAlias = Annotated[Text, AfterValidator(_variable)]
WebAddress: TypeAlias = Annotated[Text, AfterValidator(_web_address)]

_Whole: TypeAlias = Annotated[int, Strict(), BeforeValidator(_number)]
_Seconds: TypeAlias = Annotated[
    float, Strict(), Field(allow_inf_nan=False, le=MAX_SECONDS), BeforeValidator(_number)
]
Effort: TypeAlias = Annotated[_Whole, Field(ge=1, le=5)]
Count: TypeAlias = Annotated[_Whole, Field(ge=0, le=1000)]
Timeout: TypeAlias = Annotated[_Seconds, Field(gt=0)]
Wait: TypeAlias = Annotated[_Seconds, Field(ge=0)]
Size: TypeAlias = Annotated[_Whole, Field(ge=1, le=10**12)]
Turns: TypeAlias = Annotated[_Whole, Field(ge=1, le=1000)]
Amount: TypeAlias = Annotated[
    float, Strict(), Field(gt=0, le=10**9, allow_inf_nan=False), BeforeValidator(_number)
]
Label: TypeAlias = Annotated[Text, AfterValidator(_label)]
Labels: TypeAlias = Annotated[tuple[Label, ...], BeforeValidator(_some)]
Points: TypeAlias = Annotated[
    float,
    Strict(),
    Field(ge=-MOST_POINTS, le=MOST_POINTS, allow_inf_nan=False),
    BeforeValidator(_number),
]
YesOrNo: TypeAlias = Annotated[bool, Strict(), BeforeValidator(_yes_or_no)]


def _version(value: int) -> int:
    if value != 1:
        raise ValueError(f"must be 1, the only version that this program reads, got {value}")
    return value


Version: TypeAlias = Annotated[_Whole, AfterValidator(_version)]
