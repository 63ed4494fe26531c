"""Figures and names that the documents repeat are those of the program and of each other."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

from tests.documents import PAGES, blocks, inline_code, name_of, prose, table, text_of, words_in
from vibe_tasks.setting_sources import AGENT_VARIABLES, PREFIX
from vibe_tasks.settings import Settings

DEFAULTS = {f"{PREFIX}{name.upper()}": each.default for name, each in Settings.model_fields.items()}
OTHERS = {"VIBE_FULL", "VIBE_SCREENSHOTS"} | {f"{PREFIX}{name}" for name in AGENT_VARIABLES}
"""Variables that are no settings: of the tests, and what agents are given."""

NO_MODULES = {
    "vibe_tasks.output.agent", "vibe_tasks.output.check", "vibe_tasks.job_log", "vibe_tasks.kept",
}  # fmt: skip
"""Names of loggers, and of a key."""

LIVING = [page for page in PAGES if page.name != "CHANGELOG.md"]
"""Pages about how things are; a line of the changes is about how they were."""


def test_every_setting_that_a_page_names_is_one() -> None:
    """Who sets what a page names is not told that there is no such setting."""
    for page in LIVING:
        for name in re.findall(rf"\b{PREFIX}[A-Z_]*[A-Z]\b(?!_?…)", page.read_text("utf-8")):
            known = {name, name.removesuffix("_FILE")} & {*DEFAULTS, *OTHERS}
            assert known, f"{name_of(page)} names {name}"


def test_defaults_that_a_page_repeats_are_right() -> None:
    """`NAME` (8), and 8 s (`NAME`), are the default of that setting."""
    seen = 0
    for page in LIVING:
        text = " ".join(prose(page).split())
        told = re.findall(rf"`({PREFIX}[A-Z_]+)` \(([\d,]+)(?: s)?\)", text)
        before = re.findall(rf"([\d.]+) s(?: at most)? \(`({PREFIX}[A-Z_]+)`\)", text)
        for name, value in told + [(name, value) for value, name in before]:
            assert float(value.replace(",", "")) == DEFAULTS[name], f"{name_of(page)}: {name}"
            seen += 1
    assert seen > 5


def test_defaults_in_the_table_of_tuning_are_right() -> None:
    """The table of times has each setting's default beside it."""
    for row in table("docs/tuning.md", "setting"):
        for name, value in zip(words_in(row[:1]), row[1].split(", "), strict=True):
            assert float(value) == DEFAULTS[name], name


def test_modules_that_a_page_names_are_there() -> None:
    """A dotted name below the package can be imported, or is in what can."""
    for page in LIVING:
        for word in inline_code(page):
            if re.fullmatch(r"vibe_tasks(\.\w+)+", word) and word not in NO_MODULES:
                assert found(word), f"{name_of(page)} names {word}"


def found(dotted: str) -> bool:
    """Whether this is a module, or something in one."""
    module, _, name = dotted.rpartition(".")
    try:
        return bool(import_module(dotted))
    except ModuleNotFoundError:
        return hasattr(import_module(module), name)


def computed() -> dict[str, Any]:
    """What the first program of the page about capacity defines."""
    defined: dict[str, Any] = {}
    program = next(
        each.text for each in blocks("python") if each.where.startswith("docs/capacity.md")
    )
    exec(program, defined)  # noqa: S102  a program of ours, which a test runs anyway
    return defined


def test_capacity_is_computed_from_what_was_measured() -> None:
    """The constants of its program are figures of the benchmarks."""
    constants = computed()
    text = text_of("docs/benchmarks.md")
    line = next(each for each in text.splitlines() if each.startswith("| postgresql | 341 "))
    for constant, digits in (
        ("ROW_BYTES", 0),
        ("ARCHIVED_BYTES", 0),
        ("LOG_BYTES", 0),
        ("SERVER_MS", 2),
    ):
        assert f"| {constants[constant]:,.{digits}f} |" in line, constant
    ours = [row for row in text.splitlines() if row.startswith("| postgresql | vibe_tasks | ")]
    assert ours[0].endswith(f" {constants['OURS_MS']} |")


def test_the_table_of_capacity_follows() -> None:
    """Each row is what the page's own program says of so many jobs a second."""
    server = computed()["server"]
    for row in table("docs/capacity.md", "jobs a second, all day"):
        said = [float(re.sub(r"[^\d.]", "", cell)) for cell in row]
        told = server(said[0])
        del told["log, MB/s"]  # the table has it by the day
        for cell, value, exact in zip(row[1:], said[1:], told.values(), strict=True):
            shown = 10.0 ** -len(re.sub(r"[^\d.]", "", cell).partition(".")[2])
            assert abs(value - exact) <= max(shown / 2, exact / 200) + 1e-9, (row[0], cell, exact)
