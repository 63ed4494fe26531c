"""The documents are true to the letter: links lead somewhere, commands and code are real."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

from docs import generate
from tests.documents import (
    PAGES,
    ROOT,
    Block,
    anchors,
    blocks,
    inline_code,
    links,
    name_of,
    prose,
    text_of,
)
from tests.processes import unmeasured
from vibe_tasks.plan import parse_plan

TREE = {context.command_path: context for context in generate.commands()}


def at(block: Block) -> str:
    """A block's name in the list of tests."""
    return block.where


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_files_and_headings(page: Path):
    """Whoever follows a link within the documents arrives."""
    for link in links(page):
        assert "://" not in link, f"{link}: the project's documents stand alone"
        target, _, anchor = link.partition("#")
        place = (page.parent / target).resolve() if target else page
        assert place.exists(), f"{name_of(page)} links to {link}"
        if anchor:
            assert anchor in anchors(place), f"{name_of(page)} links to {link}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_named_files_exist(page: Path):
    """A file of the project that a page names is there."""
    for code in inline_code(page):
        for word in code.split():
            if re.fullmatch(r"(docs|vibe_tasks|tests|examples|workers|\.ci)/[\w./-]+", word):
                assert (ROOT / word).exists(), f"{name_of(page)} names {word}"
            if re.fullmatch(r"(store|tasks|flow|stack|agents|workspace|cli)/[\w./-]+\.py", word):
                assert (ROOT / "vibe_tasks" / word).exists(), f"{name_of(page)} names {word}"


def test_every_page_can_be_found():
    """The index of all pages has every one; the decisions are found through their first."""
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in links(index)}
    pages = {page for page in PAGES if page.parent.name != "decisions"}
    assert pages - {index, ROOT / "README.md"} <= linked


def test_decisions_are_numbered_and_short():
    """A decision has a number of its own, a situation, a decision and its consequences."""
    pages = [page for page in PAGES if page.parent.name == "decisions"]
    for number, page in enumerate(pages, start=1):
        text = page.read_text(encoding="utf-8")
        assert page.name.startswith(f"{number:04d}-")
        assert text.startswith(f"# {number}. ")
        parts = re.findall(r"^\*\*(\w+)\.\*\*", text, re.MULTILINE)
        assert parts == ["Situation", "Decision", "Consequences"]
        assert len(text.splitlines()) <= 15


@pytest.mark.parametrize("block", blocks("python"), ids=at)
def test_python_code_is_real(block: Block):
    """The code is Python, and every name that it imports is there."""
    for node in ast.walk(ast.parse(block.text, filename=block.where)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                import_module(alias.name)
        elif isinstance(node, ast.ImportFrom):
            module = import_module(str(node.module))
            for alias in node.names:
                if not hasattr(module, alias.name):
                    import_module(f"{node.module}.{alias.name}")


@pytest.mark.parametrize("block", [each for each in blocks("python") if each.runs], ids=at)
def test_python_code_runs(block: Block, tmp_path: Path):
    """Code that a page shows whole runs in an empty folder as it is."""
    done = subprocess.run(
        [sys.executable, "-c", block.text],
        cwd=tmp_path,
        env={**unmeasured(os.environ), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", blocks("yaml"), ids=at)
def test_plans_are_accepted(block: Block):
    """Every plan that a page shows is one."""
    parse_plan(block.text, file=block.where)


@pytest.mark.parametrize("block", blocks("json"), ids=at)
def test_json_is_json(block: Block):
    """Every JSON document that a page shows is one."""
    json.loads(block.text)


def command_lines() -> list[tuple[str, str, bool]]:
    """Page, line and whether it is whole, of each command line of all pages."""
    found = [
        (block.where, line, True)
        for block in blocks("sh")
        for line in block.text.splitlines()
        if line
    ]
    for page in PAGES:
        for code in inline_code(page):
            words = re.sub(r"^(\w+=\S+ )+", "", code)
            if re.match(r"(vibe|make|celery|python -m) [a-z-]", words):
                found.append((name_of(page), words, False))
    return found


@pytest.mark.parametrize(("where", "line", "whole"), command_lines())
def test_commands_exist(where: str, line: str, whole: bool):
    """A command that a page names can be typed: its words, options and values are known."""
    program, *words = shlex.split(line.replace("…", ""))
    match program:
        case "vibe":
            check_vibe(words, whole=whole)
        case "make":
            targets = re.findall(r"^([a-z]+):", text_of("Makefile"), re.MULTILINE)
            assert {word for word in words if "=" not in word} <= set(targets), where
        case "celery":
            assert words[0] == "-A"
            assert words[1] == "mymodule" or find_spec(words[1]), where
        case "python":
            script = ROOT / words[0]
            assert script.is_file() or find_spec(words[1]), where
        case _:
            assert program.endswith((".venv/bin/python", ".ci/run")), where


def check_vibe(words: list[str], *, whole: bool) -> None:
    """Parse the command line as the program would, without running anything."""
    name = "vibe"
    while words and f"{name} {words[0]}" in TREE:
        name = f"{name} {words.pop(0)}"
    assert name != "vibe" or words[:1] in (["COMMAND"], ["--help"]), f"no command {words}"
    context = TREE[name]
    if name == "vibe" or (isinstance(context.command, click.Group) and not words and not whole):
        return
    given = ["1" if word == "N" else word for word in words]
    try:
        context.command.make_context(context.info_name, given, parent=context.parent)
    except click.MissingParameter:
        assert not whole, f"{name} {words} lacks an argument"


@pytest.mark.parametrize("name", generate.PARTS)
def test_generated_parts_are_current(name: str):
    """Settings and commands stand in the documents as they are; `make docs` writes them."""
    assert text_of(f"docs/{name}") == generate.page(name)


def test_messages_to_look_up_are_real():
    """Every message in the table of troubles is one that the program says."""
    sources = (ROOT / "vibe_tasks").rglob("*.py")
    said = " ".join(re.sub(r'"\s*f?"', "", source.read_text("utf-8")) for source in sources)
    page = prose(ROOT / "docs" / "troubleshooting.md")
    for message in re.findall(r"^\| `(.+?)`(?: |$)", page, re.MULTILINE):
        for part in message.replace("\\`", "`").split("…"):
            assert part.strip() in said, message


def test_no_page_names_a_host():
    """The documents and the pins lead nobody to a server: addresses are the user's."""
    for page in [*PAGES, ROOT / "Makefile", ROOT / "constraints.txt", ROOT / ".ci" / "run"]:
        for host in re.findall(r"https?://\S+", page.read_text("utf-8")):
            assert re.match(r"https?://(…|127\.0\.0\.1|localhost|HOST)", host), host
