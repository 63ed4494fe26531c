"""Chords as the ledger keeps them."""

from __future__ import annotations

from vibe_tasks.store import chords
from vibe_tasks.store.engine import Database


def test_a_chord_waits_for_members_that_come_later(database: Database) -> None:
    """Each is counted down once; results of members that are no jobs are kept once, in order."""
    with database.begin() as connection:
        chords.open_chord(
            connection, group_id="g", body_id="body", members=["a"], takes_results=True
        )
        assert chords.add_member(connection, "g", "b")
        assert not chords.add_member(connection, "none", "b")
        assert chords.keep_result(connection, "g", "b", {"n": 2})
        assert not chords.keep_result(connection, "g", "b", {"n": 3})
        assert chords.keep_result(connection, "g", "a", 1)
    with database.begin() as connection:
        assert [chords.count_member(connection, "g") for _ in range(2)] == [1, 0]
        found = chords.find_chord(connection, "g")
        assert (found.members, chords.waits_in_chord(connection, "body")) == (("a", "b"), True)
        assert chords.results(connection, found) == [1, {"n": 2}]
        chords.close_chord(connection, "g")
        assert not chords.waits_in_chord(connection, "body")
