"""The text of a plan file, YAML or JSON, as values that know their lines.

A plain scalar stays the text that the user wrote, so that the title `no` is not
False, the id `1.0` not a float and 12:30 not 750 seconds: the plan's fields say
which of them are numbers. Duplicate keys are refused, and aliases that would
unfold into more than the file holds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

import yaml

from vibe_tasks.errors import PlanError
from vibe_tasks.plan_problems import key_path, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vibe_tasks.plan_problems import KeyPath

MAX_BYTES = 5_000_000
MAX_DEPTH = 40
"""A plan is four levels deep; libyaml's composer recurses, so depth is looked at before it runs."""
MAX_VALUES = 300_000
"""Values in the text; a task of the usual size has about twenty."""
MAX_ALIASED = 100_000
"""Values that aliases and merges may add to those in the text ("billion laughs")."""

_TOO_DEEP = f"nested more than {MAX_DEPTH} levels deep"
_NULL = frozenset({"", "~", "null", "Null", "NULL"})  # YAML 1.2.2, 10.3.2
_INT = re.compile(r"[-+]?[0-9]{1,300}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# JSON writes characters beyond U+FFFF as two escapes, which YAML does not know.
_SURROGATES = re.compile(
    r"(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})"
)


class Plain(str):
    """A scalar without quotes: text where text is wanted, a number where one is."""

    __slots__ = ()

    def number(self) -> int | float | None:
        """Return the number that is written (YAML 1.2 decimal), or None."""
        if _INT.fullmatch(self):
            return int(self)
        if _NOT_FINITE.fullmatch(self):
            return float(self.replace(".", ""))
        return float(self) if _FLOAT.fullmatch(self) else None

    def __repr__(self) -> str:
        """As the user would write it: a number has no quotes."""
        return str(self) if self.number() is not None else super().__repr__()


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What a plan file says.

    Attributes:
        value: Dicts, lists, None, str for quoted and `Plain` for unquoted scalars.
        lines: Line of each key and list item, counted from 1, by its path.
    """

    value: object
    lines: Mapping[KeyPath, int]

    def line_of(self, path: KeyPath) -> int:
        """Return the line of the path, or of the nearest place above it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def read_document(text: str, *, file: str) -> Document:
    """Read the text of a plan file.

    Raises:
        PlanError: Not one YAML or JSON document, or one that no plan could be.
    """
    _refuse_unreadable(text, file=file)
    text = _SURROGATES.sub(_joined, text)
    try:
        size = _measured(text, file=file)
        root = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise _syntax_error(error, text=text, file=file) from error
    if root is None:
        raise PlanError("the file is empty", file=file, line=1)
    reading = _Reading(file=file, room=size + MAX_ALIASED)
    value = reading.value(root, (), 1)
    return Document(value=value, lines=reading.lines)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads scalars as text: without resolvers nothing becomes a bool, date or number."""

    yaml_implicit_resolvers: dict[str, list[object]] = {}  # noqa: RUF012 - PyYAML's own shape


def _refuse_unreadable(text: str, *, file: str) -> None:
    if len(text) > MAX_BYTES or len(text.encode(errors="replace")) > MAX_BYTES:
        raise PlanError(f"the file is larger than {MAX_BYTES:,} bytes", file=file)
    wrong = _FORBIDDEN.search(text)
    if wrong:
        raise PlanError(
            f"character U+{ord(wrong[0]):04X} is not allowed",
            file=file,
            line=text.count("\n", 0, wrong.start()) + 1,
        )


def _joined(match: re.Match[str]) -> str:
    high, low = int(match[2], 16), int(match[3], 16)
    return match[1] + chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))


def _measured(text: str, *, file: str) -> int:
    """Return how many values the text holds; refuse one that is nested too deep."""
    depth = size = 0
    for event in yaml.parse(text, Loader=_Loader):
        size += 1
        if size > MAX_VALUES:
            raise PlanError(f"more than {MAX_VALUES:,} values", file=file, line=_line(event))
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise PlanError(_TOO_DEEP, file=file, line=_line(event))
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return size


def _syntax_error(error: yaml.YAMLError, *, text: str, file: str) -> PlanError:
    if not isinstance(error, yaml.MarkedYAMLError):
        return PlanError(f"not valid YAML: {' '.join(str(error).split())}", file=file)
    said = ", ".join(part for part in (error.context, error.problem) if part)
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return PlanError(f"not valid YAML: {said}", file=file)
    lines = text.split("\n")
    at = min(mark.line, text.count("\n", 0, len(text) - 1))  # the end is on the last line
    if re.match(" *\t", lines[at]):
        said += " (indent with spaces, not tabs)"
    return PlanError(f"not valid YAML: {said}", file=file, line=at + 1)


@dataclass(slots=True, kw_only=True)
class _Reading:
    """Turns nodes into values and notes their lines.

    Attributes:
        file: For messages.
        room: How many values may still be made.
        lines: See `Document.lines`.
    """

    file: str
    room: int
    lines: dict[KeyPath, int] = field(default_factory=dict)

    def value(self, node: yaml.Node, path: KeyPath, depth: int) -> object:
        self._spend(node, path, depth)
        if node.tag not in _TAGS:
            self._refuse(f"tag {shown(node.tag)} is not used in plans", node, path)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if isinstance(node, yaml.SequenceNode):
            items = []
            for number, item in enumerate(node.value):
                self.lines[*path, number] = _line(item)
                items.append(self.value(item, (*path, number), depth + 1))
            return items
        values: dict[str, object] = {}
        for key, (key_node, value_node) in self._pairs(node, path, depth).items():
            self.lines[*path, key] = _line(key_node)
            values[key] = self.value(value_node, (*path, key), depth + 1)
        return values

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> str | None:
        if node.style:  # quoted, or a block
            if "\0" in node.value:
                self._refuse("holds a zero character", node, path)
            return str(node.value)
        return None if node.value in _NULL else Plain(node.value)

    def _pairs(
        self, node: yaml.Node, path: KeyPath, depth: int
    ) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """Return the pairs of a mapping; its own keys win over those merged in by `<<`."""
        own: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        merged: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._refuse("a key must be text", key_node, path)
            key = key_node.value
            if key == "<<" and not key_node.style:
                for source in self._merge_sources(value_node, path):
                    self._spend(source, path, depth + 1)
                    merged = {**self._pairs(source, path, depth + 1), **merged}
            elif key in own:
                first = _line(own[key][0])
                self._refuse(f"given twice, first on line {first}", key_node, (*path, key))
            else:
                own[key] = (key_node, value_node)
        return {**merged, **own}

    def _merge_sources(self, node: yaml.Node, path: KeyPath) -> Iterable[yaml.Node]:
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for source in sources:
            if not isinstance(source, yaml.MappingNode):
                self._refuse("only mappings can be merged", node, (*path, "<<"))
            yield source

    def _spend(self, node: yaml.Node, path: KeyPath, depth: int) -> None:
        if depth > MAX_DEPTH:
            self._refuse(_TOO_DEEP, node, path)
        # A mapping that is merged costs all its keys each time.
        self.room -= 1 + (len(node.value) if isinstance(node, yaml.MappingNode) else 0)
        if self.room < 0:
            self._refuse("aliases unfold into too many values", node, path)

    def _refuse(self, message: str, node: yaml.Node, path: KeyPath) -> NoReturn:
        raise PlanError(message, file=self.file, line=_line(node), key=key_path(path))


_TAGS = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map"))


def _line(place: yaml.Node | yaml.Event) -> int:
    mark = place.start_mark
    return mark.line + 1 if mark else 1
