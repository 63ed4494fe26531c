"""What is kept of a program's output."""

from __future__ import annotations

import io
import re
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from vibe_tasks.workspace.output import Kept, Lines, readable_text


@given(chunks=st.lists(st.binary(max_size=40)), limit=st.integers(0, 60))
def test_both_ends_are_kept_and_the_rest_is_counted(chunks: list[bytes], limit: int) -> None:
    """Output and log are equal, begin and end as the program did, and say how much is missing."""
    log = io.BytesIO()
    kept = Kept(log, limit=limit)
    for chunk in chunks:
        kept.add(chunk, stdout=True)
    kept.close()
    said, half = b"".join(chunks), limit // 2
    assert kept.output == log.getvalue()
    assert kept.cut == max(0, len(said) - 2 * half)
    if kept.cut:
        note = b"\n[... %d bytes left out ...]\n" % kept.cut
        assert kept.output == said[:half] + note + said[len(said) - half :]
    else:
        assert kept.output == said


def test_the_beginning_is_in_the_log_at_once() -> None:
    """Whoever follows the log of a running program sees what it says."""
    log = io.BytesIO()
    Kept(log, limit=100).add(b"hello", stdout=False)
    assert log.getvalue() == b"hello"


def test_standard_output_is_kept_apart() -> None:
    """What came on standard error does not get between the last lines of standard output."""
    kept = Kept(io.BytesIO(), limit=0)
    kept.add(b'{"a":', stdout=True)
    kept.add(b"noise", stdout=False)
    kept.add(b"1}", stdout=True)
    assert kept.stdout == b'{"a":1}'


@given(st.binary())
def test_text_can_be_stored_anywhere(output: bytes) -> None:
    """Bad UTF-8 and NUL are replaced: every database and encoder takes the text."""
    text = readable_text(bytearray(output))
    assert not re.search("[\0\ud800-\udfff]", text)


@given(text=st.binary(max_size=200), cuts=st.lists(st.integers(0, 200)), longest=st.integers(1, 9))
def test_lines_do_not_depend_on_how_they_came(text: bytes, cuts: list[int], longest: int) -> None:
    """Each line is heard once and in order, cut at the limit, the last one without a line feed."""
    places = [0, *sorted(cut for cut in cuts if cut < len(text)), len(text)]
    lines, heard = Lines(longest=longest), []
    for begin, end in pairwise(places):
        heard += lines.add(text[begin:end])
    heard += lines.close()
    expected = text.split(b"\n") if not text.endswith(b"\n") else text[:-1].split(b"\n")
    assert heard == [readable_text(bytearray(line[:longest])) for line in expected if text]
