"""What one process holds for its life: settings, the ledger, the clock and the dice.

The one place that reads the environment, the settings file, the wall clock and chance;
everything below takes them as arguments.
"""

from __future__ import annotations

import os
import pwd
import random
import socket
import tempfile
import time
import tomllib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from urllib.parse import quote

from vibe_tasks.addresses import socket_path
from vibe_tasks.errors import SettingsError
from vibe_tasks.event_priority import parse_priorities
from vibe_tasks.failures import bounded
from vibe_tasks.masking import masked, secrets_of
from vibe_tasks.payload_keys import FILE, parse_keys
from vibe_tasks.redaction import Redaction, checked_patterns
from vibe_tasks.setting_sources import Sourced, read_settings
from vibe_tasks.settings import Settings
from vibe_tasks.store.audit import By
from vibe_tasks.store.engine import Database, check_reachable, open_database
from vibe_tasks.store.retries import Retries
from vibe_tasks.store.sealing import Sealing, require_keys
from vibe_tasks.store.telling import Moved, tell_of
from vibe_tasks.store.version import create, found_version, require_current

SETTINGS_FILE = "vibe.toml"

MOST_ORIGIN = 300
"""Characters of who does something, and of from where."""

uniform: Callable[[float, float], float] = random.uniform
"""Draws the jitter of waits."""

random_bits: Callable[[int], int] = random.getrandbits
"""Draws a number of so many bits, for names that nobody has to guess."""

monotonic: Callable[[], float] = time.monotonic
"""Seconds that only ever grow, for measuring how long something took."""

pause: Callable[[float], None] = time.sleep
"""Waits so many seconds; for loops that poll something which cannot wake them."""

retries = Retries(monotonic=time.monotonic, sleep=time.sleep, uniform=random.uniform)
"""Tries calls of the ledger again, and counts them for this process."""

wall_clock: Callable[[], float] = time.time
"""Epoch seconds, for display and for the broker's side; the ledger has its own clock."""


@cache
def settings_with_sources() -> tuple[Settings, tuple[Sourced, ...]]:
    """The settings of this process, and where each came from.

    Raises:
        SettingsError: One is unknown or wrong, or the file cannot be read.
    """
    try:
        table = tomllib.loads(Path(SETTINGS_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        table = {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{SETTINGS_FILE}: {error}") from error
    return read_settings(
        os.environ, table, file=SETTINGS_FILE, read=lambda path: Path(path).read_text("utf-8")
    )


def environment(name: str) -> str | None:
    """A variable that is not ours, such as those of a standard."""
    return os.environ.get(name)


def settings() -> Settings:
    """The settings of this process."""
    return settings_with_sources()[0]


def shown_settings() -> tuple[tuple[Sourced, ...], dict[str, str]]:
    """Every setting as anybody may see it; and what is in use: `home`, `ledger` and `broker`."""
    _, listing = settings_with_sources()
    in_use = {
        "home": str(home()), "ledger": masked(database_url()), "broker": masked(broker_url())
    }  # fmt: skip
    return listing, in_use


@cache
def sealing() -> Sealing | None:
    """What seals and opens payloads in this process; None: nothing does.

    Raises:
        SettingsError: A file with keys cannot be read, or holds none; or the library is missing.
    """
    entries = settings().payload_keys
    if not entries:
        return None
    try:
        keys = parse_keys([key for entry in entries for key in _keys_in(entry)])
    except ValueError as error:
        raise SettingsError(f"VIBE_PAYLOAD_KEYS: {error}") from error
    return Sealing(keys, random_bytes=os.urandom)


def _keys_in(entry: str) -> list[str]:
    """The keys that an entry stands for: itself, or those in the file that it names."""
    if not entry.startswith(FILE):
        return [entry]
    path = entry.removeprefix(FILE)
    try:
        return Path(path).read_text(encoding="ascii").replace(",", " ").split()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise SettingsError(f"VIBE_PAYLOAD_KEYS: cannot read {path}: {why}") from error


@cache
def redaction() -> Redaction:
    """What this process takes out of logs, events and errors."""
    found = settings()
    return Redaction(secrets_of(found.model_dump()), checked_patterns(found.redact))


def person(source: str = "cli") -> By:
    """Who runs this process, for the audit trail: the system's user on this host."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run as a number that has no name
        name = f"uid {os.getuid()}"
    host = origin = socket.gethostname()
    if away := environment("SSH_CONNECTION"):
        origin += f", ssh from {away.split(maxsplit=1)[0]}"
    if before := environment("SUDO_USER"):
        origin += f", sudo by {before}"
    actor, origin = (bounded(each, longest=MOST_ORIGIN) for each in (f"{name}@{host}", origin))
    return By(actor=actor, source=source, origin=origin)


def home() -> Path:
    """The folder of the ledger, logs and worktrees, absolute."""
    return Path(settings().home).expanduser().resolve()


def database_url() -> str:
    """The ledger's URL; SQLite in the home folder unless set otherwise."""
    return settings().database_url or f"sqlite:///{home() / 'ledger.db'}"


def broker_url() -> str:
    """The broker's URL; the embedded Valkey's socket unless set otherwise."""
    return settings().broker_url or f"redis+socket://{quote(str(broker_socket()))}"


def broker_socket() -> Path:
    """Where the embedded broker listens."""
    return socket_path(home(), temp_dir=Path(tempfile.gettempdir()), uid=os.getuid())


@cache
def database() -> Database:
    """The ledger's database, opened once in each process."""
    if not settings().database_url:
        make_home()
    opened = open_own(database_url())
    os.register_at_fork(
        before=opened.before_fork,
        after_in_parent=opened.after_fork,
        after_in_child=opened.forget_inherited,
    )
    return opened


def open_own(url: str) -> Database:
    """The ledger of this URL, written and read as this process's settings say."""
    return open_database(
        url, event_priorities=parse_priorities(settings().events_priorities),
        redaction=redaction(), sealing=sealing(),
    )  # fmt: skip


def make_home() -> Path:
    """The home folder, made if need be, and hidden from git.

    Raises:
        SettingsError: It cannot be made.
    """
    folder = home()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        ignore = folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"VIBE_HOME: cannot use {folder}: {error.strerror}") from error
    return folder


@cache
def ledger() -> Database:
    """The database, its schema verified; a new SQLite file gets its schema here.

    A server's database is somebody's decision: its schema is made by `vibe db upgrade` alone.

    Raises:
        SchemaError: It has another schema version.
        UnavailableError: It does not answer.
    """
    return verified(database())


def verified(opened: Database) -> Database:
    """The database, once its schema was looked at and its commits are told to whoever listens.

    Raises:
        SchemaError: It has another schema version.
        SettingsError: Its payloads are sealed with a key that this process does not have.
        UnavailableError: It does not answer.
    """
    check_reachable(opened)
    if opened.is_sqlite and found_version(opened) is None:
        create(opened)  # or find it created: several processes may come at once
    require_current(opened)
    require_keys(opened)
    if opened.is_sqlite:
        tell: list[Callable[[Sequence[Moved]], None]] = []

        def on_commit(moved: Sequence[Moved]) -> None:
            if not tell:
                # A command that only reads shall not wait for the broker's libraries.
                from vibe_tasks.tasks import notices  # noqa: PLC0415

                tell.append(
                    notices.teller(
                        opened, broker_url(), patience=settings().publish_timeout,
                        monotonic=monotonic,
                    )
                )  # fmt: skip
            tell[0](moved)

        tell_of(opened, on_commit)
    return opened
