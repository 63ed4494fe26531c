"""The one way to git: fixed identity, no hooks, no programs of the repository's own choice, no
background work, nothing inherited that would redirect it.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from vibe_tasks.errors import GitError, RepositoryError
from vibe_tasks.workspace.disarming import LISTING, OPTIONS, UNASKED, disarmed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

OLDEST = (2, 38)
"""The first git that merges without a working tree: `merge-tree --write-tree`."""

_TIMEOUT = 300.0  # seconds for one command; a filter or a dead network mount may hang
# What a user, or an agent inside a worktree, may have configured and would change what our commands
# do.
_CONFIG = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.quotePath=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "commit.gpgSign=false",
    "i18n.commitEncoding=UTF-8",
    "log.showSignature=false",
    "merge.autoStash=false",
    "merge.verifySignatures=false",
    "protocol.ext.allow=never",
    "rerere.enabled=false",
    "submodule.recurse=false",
)
# What is missing here git would fetch from wherever the repository says, by programs that it names.
# Only where we ask a remote ourselves may it: for the rest, addresses that run one are refused.
_HERE = {"GIT_PROTOCOL_FROM_USER": "0"}
_LOCAL = ("protocol.file.allow=never",)
_KEPT = frozenset(
    {"GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_EXEC_PATH"}
)
_OURS = ("VIBE_", "CELERY_")
"""How our own settings begin; among them are passwords, and git's helpers have no use for them."""

_FIXED = {
    "GIT_AUTHOR_NAME": "vibe_tasks",
    "GIT_AUTHOR_EMAIL": "vibe-tasks@localhost",
    "GIT_COMMITTER_NAME": "vibe_tasks",
    "GIT_COMMITTER_EMAIL": "vibe-tasks@localhost",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_PROXY_COMMAND": "",  # no setting could overrule an earlier core.gitProxy
    "LC_ALL": "C",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What git answered.

    Attributes:
        code: Its exit code.
        out: Standard output without the last line feed. Names that are not UTF-8 survive (surrogate
            escapes).
        err: Standard error, stripped, readable as it is.
    """

    code: int
    out: str
    err: str


def ask(
    *args: str,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    input: str | None = None,  # noqa: A002 subprocess's word
    timeout: float = _TIMEOUT,
) -> Reply:
    """Run git and return its answer, whatever the exit code.

    Args:
        args: Subcommand and arguments.
        cwd: Working directory.
        env: Variables to set on top of the fixed ones.
        input: What git reads from standard input.
        timeout: Seconds for the command.

    Raises:
        RepositoryError: git is not installed, or cwd does not exist.
        GitError: git did not end in time.
    """
    try:
        done = subprocess.run(
            _command(args),
            cwd=cwd,
            env=_environment(cwd, args, env or {}),
            input=os.fsencode(input or ""),
            capture_output=True,
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError as error:
        if not cwd.is_dir():
            raise RepositoryError(f"folder {cwd} does not exist") from error
        raise RepositoryError(
            f"git was not found; install git {_dotted(OLDEST)} or newer"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise GitError(f"git {args[0]} in {cwd} did not end within {timeout:.0f} s") from error
    out = os.fsdecode(done.stdout).removesuffix("\n")
    return Reply(code=done.returncode, out=out, err=done.stderr.decode(errors="replace").strip())


def git(
    *args: str,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    input: str | None = None,  # noqa: A002 subprocess's word
    check: bool = True,
) -> str:
    """Run git and return its standard output without the last line feed.

    Args:
        args: Subcommand and arguments.
        cwd: Working directory.
        env: Variables to set on top of the fixed ones.
        input: What git reads from standard input.
        check: Whether an exit code other than 0 raises.

    Raises:
        GitError: git failed; the message holds the command and what it said.
        RepositoryError: git is not installed, or cwd does not exist.
    """
    reply = ask(*args, cwd=cwd, env=env, input=input)
    if check and reply.code:
        raise failed(reply, *args)
    return reply.out


def beginning(*args: str, cwd: Path, most: int) -> tuple[str, bool]:
    """The beginning of what git prints, readable as it is, and whether there is more.

    The rest is not read: a change may hold gigabytes.

    Args:
        args: Subcommand and arguments.
        cwd: Working directory.
        most: Bytes.

    Raises:
        GitError: git failed before it had printed so much.
    """
    said, cut = first_bytes(*args, cwd=cwd, most=most)
    return said.decode(errors="replace"), cut


def first_bytes(*args: str, cwd: Path, most: int) -> tuple[bytes, bool]:
    """As `beginning`, in bytes."""
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            _command(args), cwd=cwd, env=_environment(cwd, args, {}),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
        ) as process,
    ):  # fmt: skip
        assert process.stdout is not None  # noqa: S101  asked for above
        said = process.stdout.read(most + 1)
        cut = len(said) > most
        if cut:
            process.kill()
        process.wait()
        if process.returncode and not cut:
            errors.seek(0)
            text = errors.read(10_000).decode(errors="replace").strip()
            raise failed(Reply(code=process.returncode, out="", err=text), *args)
    return said[:most], cut


def commit_tree(tree: str, *, parents: Sequence[str], message: str, cwd: Path) -> str:
    """Make a commit that no ref points at yet, and return it; a NUL in the message is dropped."""
    options = [part for parent in parents for part in ("-p", parent)]
    text = message.encode(errors="replace").decode().replace("\0", "").rstrip()
    return git("commit-tree", tree, *options, cwd=cwd, input=f"{text}\n")


def failed(reply: Reply, *args: str) -> GitError:
    """The error for an answer that should have been another."""
    said = reply.err or readable(reply.out)
    return GitError(f"git {readable(' '.join(args))}: exit code {reply.code}: {said}")


def names(out: str) -> tuple[str, ...]:
    """The parts of an answer to a command with `-z`."""
    return tuple(part for part in out.split("\0") if part)


def readable(text: str) -> str:
    """The text with what is not UTF-8 replaced: for messages, reports and databases."""
    return os.fsencode(text).decode(errors="replace")


def git_version() -> tuple[int, ...]:
    """Version of the installed git, such as (2, 39, 5).

    Raises:
        RepositoryError: git is missing or older than 2.38.
    """
    text = _version_text(os.environ.get("PATH", ""))
    found = tuple(int(part) for part in re.findall(r"\d+", text)[:3])
    if found < OLDEST:
        raise RepositoryError(f"{text} is too old; install git {_dotted(OLDEST)} or newer")
    return found


@cache
def _version_text(_path: str) -> str:
    """What git says of itself, asked once for each PATH."""
    try:
        return subprocess.run(
            ["git", "--version"], capture_output=True, text=True, check=False, timeout=_TIMEOUT
        ).stdout.strip()
    except FileNotFoundError as error:
        raise RepositoryError(
            f"git was not found; install git {_dotted(OLDEST)} or newer"
        ) from error


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _command(args: Sequence[str]) -> list[str]:
    """The whole command line, with the option that keeps a remote's program the usual one."""
    option = OPTIONS.get(args[0])
    settings = _CONFIG if option is not None else (*_CONFIG, *_LOCAL)
    own = (args[0], option, *args[1:]) if option is not None else args
    return ["git", *(part for setting in settings for part in ("-c", setting)), *own]


def _environment(cwd: Path, args: Sequence[str], extra: Mapping[str, str]) -> dict[str, str]:
    """Ours without our own settings, and without GIT_DIR, GIT_INDEX_FILE and their kin: a hook or a
    test that started us may have set them.
    """
    kept = {k: v for k, v in os.environ.items() if k in _KEPT or not k.startswith(("GIT_", *_OURS))}
    remote = args[0] in OPTIONS
    given = kept | _FIXED | ({} if remote else _HERE) | dict(extra)

    def list_settings() -> str:
        done = subprocess.run(
            ["git", *LISTING], cwd=cwd, env=given, stdin=subprocess.DEVNULL, capture_output=True,
            timeout=_TIMEOUT, check=False,
        )  # fmt: skip
        return os.fsdecode(done.stdout)

    variables = disarmed(cwd, given.get("GIT_DIR"), list_settings)
    return given | {k: v for k, v in variables.items() if not (remote and k == UNASKED)}
