"""What a client of the stream asks for in its address."""

from __future__ import annotations

from dataclasses import replace

import pytest
from starlette.datastructures import QueryParams

from vibe_tasks.web.hub import Wish
from vibe_tasks.web.stream import MOST_ID, Asked, asked_for

EVERYTHING = Wish(protocol=2)


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ("", Asked(wish=Wish(protocol=1))),
        ("protocol=1&after=5", Asked(wish=Wish(protocol=1))),
        ("protocol=2&after=5", Asked(wish=EVERYTHING, after=5)),
        ("protocol=2&after=0", Asked(wish=EVERYTHING, after=0)),
        ("protocol=2&after=9999999999999999999", Asked(wish=EVERYTHING, after=MOST_ID)),
        ("protocol=2&after=99999999999999999999", Asked(wish=EVERYTHING)),
        ("protocol=2&after=%C2%B2", Asked(wish=EVERYTHING)),
        ("protocol=2&after=-1&min_priority=4", Asked(wish=EVERYTHING)),
        ("protocol=2&min_priority=3", Asked(wish=Wish(protocol=2, min_priority=3))),
        (
            "protocol=2&session_id=a&session_id=&session_id=b%00",
            Asked(wish=Wish(protocol=2, sessions=frozenset({"a", "b\ufffd"}))),
        ),
        ("protocol=3&after=5", Asked(wish=Wish(protocol=1), unsupported="3")),
        ("protocol=", Asked(wish=Wish(protocol=1), unsupported="")),
    ],
)
def test_what_an_address_asks_for(query: str, asked: Asked) -> None:
    """What makes no sense is left out; a version that there is not becomes the first."""
    assert replace(asked_for(QueryParams(query)), ignored=()) == asked


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("protocol=2&after=99999999999999999999", ["after"]),
        ("protocol=2&after=%C2%B2", ["after"]),
        ("protocol=2&after=-1&min_priority=4", ["min_priority", "after"]),
        ("protocol=2&after=5&min_priority=3", []),
        ("protocol=1&after=x", []),
    ],
)
def test_what_is_left_out_is_told(query: str, names: list[str]) -> None:
    """In a message for each; version 1 has no word for it."""
    told = asked_for(QueryParams(query)).ignored
    assert [str(each["error"]).split()[0] for each in told] == names
