"""What a language model sees of a worktree, and how its changes get there."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic_ai.exceptions import ToolFailed

from tests.documents import table, words_in
from vibe_tasks.agents.chat_tools import LARGEST_FILE, LONGEST_PART, MOST_HITS, MOST_NAMES, Tools
from vibe_tasks.agents.confined import Confined


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    """A worktree with a source file, a cache and something that is no text."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_bytes(b"def one():\r\n    return 1\r\n")
    (tmp_path / "src" / "__pycache__").mkdir()
    (tmp_path / "src" / "__pycache__" / "a.pyc").write_bytes(b"def one")
    (tmp_path / "picture").write_bytes(b"\x00\xff def one")
    return Tools(files=Confined(tmp_path))


def test_files_are_listed_and_searched_without_caches(tools: Tools):
    """Names come in order; hits have file and line; what is made or no text is left out."""
    assert tools.list_files() == tools.list_files("./") == "picture\nsrc/a.py"
    assert tools.list_files("src/") == "src/a.py"
    assert tools.search("def one").strip() == "src/a.py:1: def one():"
    assert tools.search("return", "src/a.py").strip() == "src/a.py:2:     return 1"
    assert tools.search("nowhere to be found") == "[not found]"


def test_a_replaced_text_stands_exactly_once(tools: Tools, tmp_path: Path):
    """The one place is changed and nothing else, line ends included; none or two are refused."""
    tools.replace_text("./src/a.py", "return 1", "return 2")
    assert (tmp_path / "src" / "a.py").read_bytes() == b"def one():\r\n    return 2\r\n"
    for old in ("return 1", "", "e"):
        with pytest.raises(ToolFailed, match="times in"):
            tools.replace_text("src/a.py", old, "x")


def test_long_files_are_read_in_parts(tools: Tools):
    """Following the hints leads through the whole file; no part is longer than a part may be."""
    lines = [f"line {number} {'x' * 90}\n" for number in range(1, 1_001)]
    tools.write_file("long.txt", "".join(lines))
    read, first = "", 1
    while True:
        part, _, hint = tools.read_file("long.txt", first).partition("[line ")
        assert len(part) <= LONGEST_PART
        read += part
        if not hint:
            break
        first = int(hint.rpartition("=")[2].rstrip("]"))
    assert read == "".join(lines)
    tools.write_file("wide.txt", "y" * (2 * LONGEST_PART))
    assert len(tools.read_file("wide.txt")) == LONGEST_PART


def test_answers_are_bounded(tools: Tools):
    """Many files and many hits are cut, and the answer says so."""
    for number in range(MOST_NAMES + 5):
        tools.write_file(f"many/{number}", "needle\n")
    names = tools.list_files("many").splitlines()
    hits = tools.search("needle").splitlines()
    assert len(names) == MOST_NAMES + 1
    assert len(hits) == MOST_HITS + 1
    assert "there are more" in names[-1]
    assert "there are more" in hits[-1]


def test_refusals_are_told_to_the_model(tools: Tools, tmp_path: Path):
    """A call that cannot be done says why, in words that name no place outside the worktree."""
    (tmp_path / "link").symlink_to("/etc/passwd")
    for call in (
        lambda: tools.read_file("../secret"),
        lambda: tools.read_file("link"),
        lambda: tools.read_file("absent"),
        lambda: tools.read_file("picture"),
        lambda: tools.write_file("/tmp/x", "x"),
        lambda: tools.write_file("src", "x"),
        lambda: tools.write_file("x", "\ud800"),
        lambda: tools.write_file("x", "x" * (LARGEST_FILE + 1)),
        lambda: tools.delete_file("src"),
        lambda: tools.list_files("src/a.py"),
        lambda: tools.search(" "),
    ):
        with pytest.raises(ToolFailed) as refused:
            call()
        assert str(tmp_path) not in refused.value.message
        assert refused.value.message.isprintable()


def test_names_that_are_no_text_do_not_break_an_answer(tools: Tools, tmp_path: Path):
    """Every answer can be sent, whatever files are called."""
    (tmp_path / "b\udcff").write_text("needle", encoding="utf-8")
    assert tools.list_files().encode()
    assert tools.search("needle").encode()


def test_a_review_can_change_nothing(tools: Tools):
    """Its tools list, read and search; only work has the others, and checks where there are any.
    The documents name them all.
    """
    assert [tool.name for tool in tools.reading()] == ["list_files", "read_file", "search"]
    writing = {tool.name for tool in tools.writing()} - {tool.name for tool in tools.reading()}
    assert writing == {"write_file", "replace_text", "delete_file"}
    checked = Tools(files=tools.files, checks=lambda: "passed").writing()
    assert checked[-1].name == "run_checks"
    documented = words_in([row[0] for row in table("docs/agents.md", "tool")])
    assert documented == [tool.name for tool in checked]
