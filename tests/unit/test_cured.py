"""Every claim of docs/cured.md names tests, and they are there."""

from __future__ import annotations

import ast

import pytest

from tests.documents import ROOT, table, words_in

ROWS = table("docs/cured.md", "with Celery on Redis")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])
def test_every_cure_is_shown(row: list[str]) -> None:
    """A row has at least one test; each is a function of the file that it names."""
    named = words_in(row[2:])
    assert named
    for name in named:
        file, _, test = name.partition("::")
        tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
        assert test in {each.name for each in tree.body if isinstance(each, ast.FunctionDef)}, name


def test_no_evidence_is_left_out() -> None:
    """What was written as evidence is claimed in the table."""
    named = words_in([cell for row in ROWS for cell in row[2:]])
    files = {name.partition("::")[0] for name in named}
    for path in (ROOT / "tests" / "integration").glob("test_evidence_*.py"):
        assert f"integration/{path.name}" in files
