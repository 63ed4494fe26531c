"""Keeping git from running programs that a repository's own configuration names.

An agent can write to `.git/config`, and attributes that come with the files choose among filters
and merge drivers. What the user or the machine has configured counts, Git LFS for instance; what
stands in the repository's own configuration, or in files that it includes, is overruled. Hooks and
the file system monitor are switched off altogether, in `git.py`.

An agent that is not in a sandbox may of course run what it likes itself; this keeps it from having
us run it, after its limits and its time.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

LISTING = ("config", "--list", "--show-scope", "-z")
"""What to ask git for: scope, name and value of every setting, those of included files too."""

_MERGE = "git merge-file -L ours -L base -L theirs --marker-size=%L %A %O %B"
_PROGRAMS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.DOTALL), harmless)
    for pattern, harmless in (
        (r"filter\..*\.(clean|smudge|process)", ""),
        (r"filter\..*\.required", "false"),  # without it a file would be refused
        (r"merge\..*\.driver", _MERGE),
        (r"(diff\..*\.(textconv|command)|diff\.external)", ""),
        (r"core\.(askpass|alternaterefscommand|editor|pager)", ""),
        (r"core\.sshcommand", "ssh"),
        (r"credential\.(.*\.)?helper", ""),
        (r"gpg\.(.*\.)?program", "false"),
        (r"hook\..*\.command", "true"),
        (r"protocol\.(.*\.)?allow", "user"),
    )
)
"""Settings that name programs, and the value that does what git would do without."""

OPTIONS = {
    "fetch": "--upload-pack=git-upload-pack",
    "ls-remote": "--upload-pack=git-upload-pack",
    "push": "--receive-pack=git-receive-pack",
}
"""By subcommand: of `remote.*.uploadpack` and its kin git takes the first one that it meets, so
that no later setting overrules them."""

_REMOTE = re.compile(r"remote\..*\.uploadpack", re.DOTALL)
"""What no option overrules where git itself asks a remote that promised what is missing."""

UNASKED = "GIT_ALLOW_PROTOCOL"
"""The variable that then keeps git from asking any; not for a remote that we ask ourselves."""

_OWN = frozenset({"local", "worktree"})
_INCLUDE = re.compile(r"include(if\..*)?\.path", re.DOTALL)
_MOST = 64  # repositories whose settings are remembered

_known: dict[tuple[object, ...], dict[str, str]] = {}


def disarmed(cwd: Path, git_dir: str | None, list_settings: Callable[[], str]) -> dict[str, str]:
    """Variables of the environment that keep git from running a repository's own programs.

    Args:
        cwd: Where git is to run.
        git_dir: GIT_DIR, where that is set.
        list_settings: Asks git for `LISTING` there; asked again when the files have changed.
    """
    place = Path(git_dir) if git_dir is not None else _git_dir(cwd)
    if place is None:
        return {}
    files = [_common_dir(place) / "config", place / "config.worktree"]
    key = tuple((str(file), _state(file)) for file in files)
    if key not in _known:
        settings = list(_settings(list_settings()))
        variables = _variables(list(overruled(settings)))
        if any(scope in _OWN and _REMOTE.fullmatch(name) for scope, name, _ in settings):
            variables[UNASKED] = "none"
        if any(scope in _OWN and _INCLUDE.fullmatch(name) for scope, name, _ in settings):
            return variables  # the included files may change, too
        if len(_known) >= _MOST:
            _known.clear()
        _known[key] = variables
    return _known[key]


def overruled(settings: list[tuple[str, str, str]]) -> Iterator[tuple[str, str]]:
    """Names and values that overrule what the repository itself says of programs.

    Args:
        settings: Scope, name and value of each setting, in git's order: later ones count.
    """
    own = dict.fromkeys(name for scope, name, _ in settings if scope in _OWN)
    for name in own:
        outside = [value for scope, other, value in settings if other == name and scope not in _OWN]
        for pattern, harmless in _PROGRAMS:
            if pattern.fullmatch(name):
                if name.startswith("credential.") or not outside:
                    yield name, harmless  # of helpers all are asked; an empty one starts anew
                yield from ((name, value) for value in outside)


def _settings(listing: str) -> Iterator[tuple[str, str, str]]:
    parts = listing.split("\0")
    for scope, setting in zip(parts[::2], parts[1::2], strict=False):
        name, _, value = setting.partition("\n")
        yield scope, name, value


def _variables(settings: Sequence[tuple[str, str]]) -> dict[str, str]:
    """As git takes settings from the environment: on a command line a name may have no `=`."""
    found = {"GIT_CONFIG_COUNT": str(len(settings))} if settings else {}
    for number, (name, value) in enumerate(settings):
        found |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return found


def _git_dir(cwd: Path) -> Path | None:
    """The folder that git finds from here, for a worktree its own one."""
    start = cwd.absolute()
    for folder in (start, *start.parents):
        link = folder / ".git"
        if link.is_dir():
            return link
        if link.is_file():
            with link.open("rb") as file:
                named = os.fsdecode(file.read(4096)).removeprefix("gitdir: ").rstrip("\n")
            return folder / named
        shared = (folder / "objects").is_dir() or (folder / "commondir").is_file()
        if shared and (folder / "HEAD").is_file():
            return folder
    return None


def _common_dir(git_dir: Path) -> Path:
    try:
        return git_dir / (git_dir / "commondir").read_text().rstrip("\n")
    except OSError:
        return git_dir


def _state(file: Path) -> tuple[int, ...]:
    """What changes when the file does."""
    try:
        status = file.stat()
    except OSError:
        return ()
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
