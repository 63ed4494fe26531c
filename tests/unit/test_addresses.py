"""Where the embedded broker listens."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibe_tasks.addresses import LONGEST_SOCKET_PATH, socket_path
from vibe_tasks.errors import InputError

TEMP = Path("/tmp")
NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1)


def test_a_short_home_holds_its_own_socket():
    """A person finds the socket in VIBE_HOME."""
    home = Path("/project/.vibe")
    assert socket_path(home, temp_dir=TEMP, uid=1000) == home / "broker.sock"


def test_the_longest_home_that_fits_is_used():
    """One hundred bytes fit, one hundred and one do not."""
    room = LONGEST_SOCKET_PATH - len("/" + "/broker.sock")
    fits, too_long = Path("/" + "h" * room), Path("/" + "h" * (room + 1))
    assert socket_path(fits, temp_dir=TEMP, uid=1) == fits / "broker.sock"
    assert socket_path(too_long, temp_dir=TEMP, uid=1).parent.parent == TEMP


def test_bytes_count_not_characters():
    """The kernel counts the encoded path."""
    home = Path("/" + "ü" * 60)
    assert socket_path(home, temp_dir=TEMP, uid=1).parent.parent == TEMP


@given(NAMES, st.integers(0, 2**32 - 1))
def test_every_home_gets_one_path_that_fits(name, uid):
    """The path fits, is the same each time, and is this home's and this user's alone."""
    home = Path("/home") / (name * 30)
    path = socket_path(home, temp_dir=TEMP, uid=uid)
    assert len(str(path).encode()) <= LONGEST_SOCKET_PATH
    assert path == socket_path(home, temp_dir=TEMP, uid=uid)
    assert path != socket_path(home / "other", temp_dir=TEMP, uid=uid)
    if path.parent != home:
        assert path.parent.name.startswith(f"vibe-{uid}-")
        assert path != socket_path(home, temp_dir=TEMP, uid=uid + 1)


@pytest.mark.parametrize(("home", "temp"), [("vibe", "/tmp"), ("/vibe", "tmp")])
def test_a_relative_path_is_refused(home, temp):
    """A relative path would name another socket in another folder."""
    with pytest.raises(ValueError, match="must be an absolute path"):
        socket_path(Path(home), temp_dir=Path(temp), uid=1)


def test_two_folders_that_are_too_long_are_refused():
    """Where no path fits the message says what to set."""
    with pytest.raises(InputError, match="shorter VIBE_HOME or TMPDIR"):
        socket_path(Path("/" + "h" * 100), temp_dir=Path("/" + "t" * 100), uid=1)
