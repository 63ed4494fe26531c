"""Labels: what a worker has that a job may ask for, such as `gpu`, `lang:rust`, `host:build-3`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256

from vibe_tasks.errors import InputError

FORM = "a label is made of letters, digits and . _ : / = @ + -"
"""What a label may be, in words; a comma separates labels in a setting."""

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/=@+-]{0,199}")

MOST_POINTS = 10**6
"""Of a label, above or below zero."""

REPOSITORY = "repo:"
"""Before the digest of a repository that a worker's host has a copy of."""


def is_label(text: object) -> bool:
    """Whether this can be a label."""
    return isinstance(text, str) and _LABEL.fullmatch(text) is not None


def checked_required(value: object) -> tuple[str, ...]:
    """The labels that a worker must have, in order and each once; one alone may be a text.

    Raises:
        InputError: It is neither a label nor some.
    """
    if isinstance(value, str):
        value = (value,)
    if not isinstance(value, list | tuple | set | frozenset):
        raise InputError(f"required must be labels, got {value!r}")
    for label in value:
        _check("required", label)
    return tuple(sorted(set(value)))


def checked_points(value: object) -> dict[str, float]:
    """Labels and the points that a worker with each is worth more.

    Raises:
        InputError: It is no mapping of labels to numbers of at most `MOST_POINTS`.
    """
    if not isinstance(value, Mapping):
        raise InputError(f"labels must be a mapping of labels to points, got {value!r}")
    for label, points in value.items():
        _check("labels", label)
        number = isinstance(points, int | float) and not isinstance(points, bool)
        if not number or not -MOST_POINTS <= points <= MOST_POINTS:
            raise InputError(
                f"labels must give {label!r} a number of points, at most a million, got {points!r}"
            )
    return dict(value)


def _check(name: str, label: object) -> None:
    if not is_label(label):
        raise InputError(f"{name}: {FORM}, got {label!r}")


def host_label(host: str) -> str:
    """The label that every worker of this host has."""
    return f"host:{host}"


def repo_label(address: str) -> str:
    """The label of workers whose host has a copy of the repository at this address."""
    return f"{REPOSITORY}{digest_of(address)}"


def digest_of(address: str) -> str:
    """Eight hex digits that stand for a repository's address, which may hold a password."""
    return sha256(address.encode()).hexdigest()[:8]
