"""What it takes to reach a git remote: who may be asked, how patiently, and by whose settings."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vibe_tasks.workspace.git import Reply

_HOPELESS = re.compile(
    r"authentication failed|permission denied|could not read (username|password)|access denied|"
    r"not found|does not appear to be a git repository|does not exist|not our ref|"
    r"unadvertised object|non-fast-forward|hook declined|protected branch|host key verification",
    re.IGNORECASE,
)
"""What a remote says that it will say again."""

_NEEDED = frozenset(
    {"GIT_ASKPASS", "GIT_PROXY_COMMAND", "GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSH_VARIANT",
     "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_SSL_CERT", "GIT_SSL_KEY", "GIT_SSL_NO_VERIFY"}
)  # fmt: skip
"""Variables by which people tell git how to reach a remote."""

_PLAIN = re.compile(
    r"\[core\]|\s*(repositoryformatversion|filemode|bare|ignorecase|precomposeunicode|symlinks)"
    r" = \w+"
)
"""Lines that `git init` writes. An agent can write others into its repository's configuration, and
with them name programs that our next fetch would run."""


def hopeless(reply: Reply) -> bool:
    """Whether the remote will say the same again."""
    return _HOPELESS.search(reply.err) is not None


def waits(seconds: float) -> Iterator[float]:
    """Seconds between two tries, doubling, in all at most so many."""
    wait = 0.5
    while wait <= seconds:
        yield wait
        seconds -= wait
        wait = min(2 * wait, 16.0)


def reaching() -> dict[str, str]:
    """The variables by which this machine's people have told git how to reach remotes."""
    return {name: value for name, value in os.environ.items() if name in _NEEDED}


def forget_settings(common_dir: Path) -> None:
    """Take out of a mirror's configuration whatever `git init` has not written."""
    config = common_dir / "config"
    lines = config.read_text(errors="replace").splitlines()
    plain = [line for line in lines if _PLAIN.fullmatch(line)]
    if plain != lines:
        new = config.with_name(f"config.{os.getpid()}")
        new.write_text("".join(f"{line}\n" for line in plain))
        new.replace(config)
