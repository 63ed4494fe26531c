"""The documents as tests read them: pages, code blocks, inline code, links, tables."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]

PAGES = sorted(
    [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]
    + [page for page in (ROOT / "docs").rglob("*.md") if page.name != "benchmarks.md"]
)
"""Every page but the benchmarks, whose figures have their own checks."""

_BLOCK = re.compile(r"(<!-- run -->\n)?^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block of code.

    Attributes:
        where: Page and line, for messages.
        language: The word after the fence.
        text: What stands inside.
        runs: Whether the page says that it can be run as it is.
    """

    where: str
    language: str
    text: str
    runs: bool


def name_of(page: Path) -> str:
    """The page's path from the top of the repository."""
    return page.relative_to(ROOT).as_posix()


def text_of(name: str) -> str:
    """The text of a page."""
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(language: str) -> list[Block]:
    """Every block of this language in all pages."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in _BLOCK.finditer(text):
            line = text.count("\n", 0, match.start(2)) + 1
            if match[2] == language:
                where = f"{name_of(page)}:{line}"
                found.append(
                    Block(where=where, language=language, text=match[3], runs=bool(match[1]))
                )
    return found


def prose(page: Path) -> str:
    """The page without blocks of code and without what it says is planned."""
    text = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    paragraphs = re.split(r"\n\s*\n", text)
    return "\n\n".join(each for each in paragraphs if not each.startswith("*Planned"))


def inline_code(page: Path) -> list[str]:
    """What stands between single backticks."""
    return _INLINE.findall(prose(page))


def links(page: Path) -> list[str]:
    """Targets of the page's links."""
    return _LINK.findall(_BLOCK.sub("", page.read_text(encoding="utf-8")))


def anchors(page: Path) -> set[str]:
    """What links to this page may have after `#`, as code forges make it of headings."""
    headings = _HEADING.findall(_BLOCK.sub("", page.read_text(encoding="utf-8")))
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.strip().replace(" ", "-") for heading in kept}


def table(name: str, first: str) -> list[list[str]]:
    """The cells of the table of a page whose first heading is `first`, without its headings."""
    lines = text_of(name).splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith(f"| {first} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return rows


def words_in(cells: list[str]) -> list[str]:
    """The inline code of some cells, in order."""
    return [word for cell in cells for word in _INLINE.findall(cell)]
