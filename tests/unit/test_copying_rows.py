"""When two rows are the same, and how many are read at a time."""

from __future__ import annotations

import json
from math import inf, nan
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from vibe_tasks.store.copying.comparison import differing_columns
from vibe_tasks.store.copying.numbers import numbered
from vibe_tasks.store.copying.rows import (
    MOST_BYTES,
    MOST_ROWS,
    TABLES,
    is_own,
    next_limit,
    size_of,
)

RULES = next(table for table in TABLES if table.name == "event_rules")
FACTS = next(table for table in TABLES if table.name == "ledger_facts")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)  # fmt: skip


def differing(one: tuple[Any, ...], two: tuple[Any, ...]) -> tuple[str, ...]:
    """The columns in which two rows of a table differ: a name, JSON, and a number."""
    return differing_columns(RULES, one, two)


@given(VALUES, st.text(), st.floats())
def test_a_row_equals_itself_however_its_json_is_written(value: Any, name: str, at: float) -> None:
    """White space and the order of keys mean nothing, and NaN is NaN."""
    compact = json.dumps(value, separators=(",", ":"))
    spread = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False)
    assert differing((name, compact, at), (name, spread, at)) == ()


@given(VALUES, VALUES)
def test_another_value_is_another_row(one: Any, two: Any) -> None:
    """Also where Python takes the two for the same: 1, 1.0 and true."""
    same = json.dumps(one, sort_keys=True) == json.dumps(two, sort_keys=True)
    found = differing(("n", json.dumps(one), 0.0), ("n", json.dumps(two), 0.0))
    assert found == (() if same else ("value",))


def test_what_a_database_might_make_of_a_value_is_a_difference() -> None:
    """NULL for the JSON value null, a rounded number, an integer for a float."""
    assert differing(("n", None, 0.0), ("n", "null", 0.0)) == ("value",)
    assert differing(("n", "1", 0.1 + 0.2), ("n", "1", 0.3)) == ("updated_at",)
    assert differing(("n", "1", 1.0), ("n", "1", 1)) == ("updated_at",)
    assert differing(("n", "1", nan), ("n", "1", inf)) == ("updated_at",)
    assert differing(("n", "1.0", nan), ("m", "1", nan)) == ("name", "value")


@given(st.integers(1, MOST_ROWS), st.integers(0, 10**12))
def test_a_batch_is_bounded_by_rows_and_by_their_size(rows: int, size: int) -> None:
    """Rows like the last ones fit; at least one is read, however long it is."""
    limit = next_limit(rows, size)
    assert 1 <= limit <= MOST_ROWS
    assert limit == 1 or limit * size <= rows * MOST_BYTES
    assert size_of([("abc", 1, None)]) == 19


def test_what_belongs_to_one_database_is_not_copied() -> None:
    """That it was moved, released, or is being copied; every other fact belongs to the ledger."""
    own = [name for name in ("copy.id", "moved_to", "ready", "copying", "oldest_program.0006")
           if is_own(FACTS, (name,))]  # fmt: skip
    assert own == ["copy.id", "moved_to", "ready"]
    assert not is_own(RULES, ("copy.id",))


def test_every_table_has_a_key_and_the_numbered_ones_are_known() -> None:
    """A table without a primary key could not be copied in order."""
    assert all(table.key for table in TABLES)
    assert {"jobs", "job_history", "events", "audit"} <= {table.name for table in numbered()}
    assert "jobs_archive" not in {table.name for table in numbered()}
