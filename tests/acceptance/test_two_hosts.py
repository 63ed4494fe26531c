"""Two hosts that share a database, a broker and a git remote, and nothing else."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import text

from tests.acceptance.plan_folder import outcomes
from tests.acceptance.vibe_command import ROOT, Vibe
from tests.cluster import QUICK, ready
from tests.half_open import door_to
from tests.networks import Network, network
from tests.processes import until
from tests.remotes import new_remote, refs_of
from tests.repositories import files_of
from vibe_tasks.stack.broker import valkey_server
from vibe_tasks.stack.children import Child, Program
from vibe_tasks.store import version
from vibe_tasks.store.engine import Database, open_database
from vibe_tasks.workspace.remote import open_mirror

AGENT = 'if [ $VIBE_KIND = fix ]; then echo right; else echo new; fi > "$VIBE_TASK_ID.txt"'
HOSTS = ("one", "two")


class Fleet:
    """The servers, and workers on hosts of their own.

    Attributes:
        folder: A folder for each host, and one for the producer and for the servers.
        net: The network.
    """

    def __init__(self, folder: Path, net: Network, database_url: str, running: ExitStack) -> None:
        self.folder, self.net, self._running = folder, net, running
        for name in (*HOSTS, "producer", "servers"):
            (folder / name).mkdir()
        parts = urlsplit(database_url)
        server = Path(parse_qs(parts.query)["host"][0], ".s.PGSQL.5432")
        door = running.enter_context(door_to(server, net.address))
        self.environ = {
            **QUICK,
            "VIBE_DATABASE_URL": f"postgresql+psycopg://postgres@{net.address}:{door.port}{parts.path}",
            "VIBE_BROKER_URL": f"redis://{net.address}:{self._broker()}/0",
            "PYTHONPATH": str(ROOT),
        }  # fmt: skip
        self.remote = new_remote(folder / "servers", {"README": "hello\n"})
        self.address = f"git://{net.address}:{self._git()}/remote.git"

    def worker(self, host: int, lanes: str) -> Child:
        """A worker on this host."""
        return self._on(
            host, "worker", sys.executable, "-m", "celery", "-A", "vibe_tasks", "worker",
            "-Q", lanes, "-c", "2", "-n", f"w@{HOSTS[host]}", "--loglevel", "INFO",
            "--without-gossip", "--without-mingle", "--without-heartbeat",
        )  # fmt: skip

    def dispatcher(self, host: int) -> Child:
        """A dispatcher on this host."""
        return self._on(host, "dispatcher", sys.executable, "-m", "vibe_tasks.tasks.dispatcher")

    def _on(self, host: int, name: str, *argv: str) -> Child:
        """Start a program on a host, from which all other folders are hidden."""
        here = self.folder / HOSTS[host]
        hidden = [each for each in self.folder.iterdir() if each != here]
        command = self.net.command(host, "env", "-C", str(here), *argv, hidden=hidden)
        return self._start(
            f"{name}-{HOSTS[host]}", *command, environ={"VIBE_HOME": str(here / "home")}
        )

    def _start(self, name: str, *argv: str, environ: Mapping[str, str] = {}) -> Child:
        base = {"PATH": f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin"}
        program = Program(
            name=name, argv=argv, environ={**base, **getattr(self, "environ", {}), **environ}
        )
        child = Child(program, logs=self.folder / "servers")
        self._running.callback(child.kill)
        return child

    def _broker(self) -> int:
        port = free_port(self.net.address)
        options = {
            "bind": self.net.address, "port": str(port), "protected-mode": "no", "save": "",
            "appendonly": "no", "dir": str(self.folder / "servers"),
        }  # fmt: skip
        parts = [part for name, value in options.items() for part in (f"--{name}", value)]
        self._start("broker", str(valkey_server()), *parts)
        until(lambda: answers(self.net.address, port))
        return port

    def _git(self) -> int:
        port = free_port(self.net.address)
        where = subprocess.run(
            ["git", "--exec-path"], capture_output=True, text=True, check=True
        ).stdout.strip()
        servers = self.folder / "servers"
        self._start(
            "git", f"{where}/git-daemon", f"--listen={self.net.address}", f"--port={port}",
            f"--base-path={servers}", "--export-all", "--enable=receive-pack", str(servers),
        )  # fmt: skip
        until(lambda: answers(self.net.address, port))
        return port


def free_port(address: str) -> int:
    """A port that nobody uses there."""
    with socket.create_server((address, 0)) as found:
        port: int = found.getsockname()[1]
        return port


def answers(address: str, port: int) -> bool:
    """Whether somebody listens."""
    with socket.socket() as asked:
        return asked.connect_ex((address, port)) == 0


@pytest.fixture
def fleet(tmp_path: Path, postgres_url: str) -> Iterator[Fleet]:
    """The servers and an empty ledger."""
    ledger = open_database(postgres_url)
    version.create(ledger)
    ledger.close()
    with ExitStack() as running:
        net = running.enter_context(network(len(HOSTS)))
        yield Fleet(tmp_path, net, postgres_url, running)


@pytest.mark.postgres
def test_two_hosts_finish_one_plan(fleet: Fleet, postgres_url: str) -> None:
    """One host writes and mends, the other judges and merges; no file goes between them but by the
    remote, and the plan's file is on neither.
    """
    plan = fleet.folder / "producer" / "plan.yaml"
    tasks = [
        {"id": "store", "prompt": "x", "checks": ["test -f store.txt"]},
        {"id": "api", "prompt": "x", "needs": ["store"], "checks": ["test -f store.txt"]},
        {"id": "docs", "prompt": "x", "checks": ["grep right docs.txt"]},
    ]
    plan.write_text(
        json.dumps(
            {
                "version": 1, "name": "far", "repo": fleet.address, "agent": "sh", "tasks": tasks,
                "agents": {"sh": {"type": "command", "argv": ["sh", "-c", AGENT]}},
                "deploy": {"command": "test -f README"},
            }
        )
    )  # fmt: skip
    workers = [fleet.worker(0, "code"), fleet.worker(1, "qa,deploy")]
    fleet.dispatcher(1)
    for worker in workers:
        ready(worker)

    vibe = Vibe(folder=plan.parent, environ=fleet.environ)
    done = vibe.run("run", plan, "--json", seconds=120)

    assert done.code == 0, done.err
    assert outcomes(done.report) == dict.fromkeys(("store", "api", "docs"), "deployed")
    assert done.report["commit"] == refs_of(fleet.remote)["refs/heads/vibe/far"]
    reader = open_mirror(fleet.address, fleet.folder / "reader")
    merged = reader.branch_commit("vibe/far")
    assert merged is not None
    assert files_of(reader, merged).keys() == {"README", "store.txt", "api.txt", "docs.txt"}
    ledger = open_database(postgres_url)
    assert done_by(ledger) == {
        "dev": {"w@one"}, "fix": {"w@one"}, "qa": {"w@two"}, "deploy": {"w@two"}
    }  # fmt: skip
    ledger.close()


def done_by(ledger: Database) -> dict[str, set[str]]:
    """Which workers have done jobs of each kind."""
    found: dict[str, set[str]] = {}
    with ledger.read() as connection:
        for kind, worker in connection.execute(text("SELECT kind, worker FROM jobs")):
            found.setdefault(kind, set()).add(worker)
    return found
