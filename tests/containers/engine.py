"""Where nodes run: in containers where a container engine answers, else as processes."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol
from uuid import uuid4

import docker
from docker.errors import DockerException

from tests.containers.nodes import Broker, Worker
from tests.containers.process import ProcessContainer
from vibe_tasks.stack.broker import valkey_server

ROOT = Path(__file__).parents[2]
BROKER_IMAGE = "valkey/valkey:9-alpine"
WORKER_IMAGE = "vibe-tasks-tests"
FORBIDDEN = "TESTS_WITHOUT_CONTAINERS"
"""Set it to use processes even where there is a container engine."""


class Engine(Protocol):
    """Starts nodes; all of them end with it."""

    def broker(self) -> Broker:
        """A broker that has been started."""

    def worker(self, environ: Mapping[str, str], folder: Path) -> Worker:
        """A worker that has been started.

        Args:
            environ: Its settings, `VIBE_…` and `PYTHONPATH`.
            folder: Working directory under /tmp, with the ledger and the module of jobs; a
                container sees it under the same path.
        """


class Processes:
    """Nodes as processes of this machine: Valkey from the wheel, workers of this Python."""

    def __init__(self, folder: Path, running: ExitStack) -> None:
        self._folder = folder
        self._running = running

    def broker(self) -> Broker:
        """Valkey on a free port of the loopback address."""
        port = free_port()
        command = [
            str(valkey_server()), *Broker.command("--port", str(port), "--bind", "127.0.0.1")[1:],
        ]  # fmt: skip
        return Broker(self._run(command, dict(os.environ), self._folder, {6379: port}))

    def worker(self, environ: Mapping[str, str], folder: Path) -> Worker:
        """A worker; its program is the `celery` beside this Python."""
        celery = Path(sys.executable).with_name("celery")
        return Worker(self._run([str(celery), *Worker.command()[1:]], environ, folder, {}))

    def _run(
        self, argv: list[str], environ: Mapping[str, str], folder: Path, ports: Mapping[int, int]
    ) -> ProcessContainer:
        made = ProcessContainer(
            argv, environ=environ, folder=folder, logs=self._folder, ports=ports
        )
        self._running.callback(made.remove, force=True)
        return made


class Containers:
    """Nodes as containers of a network of their own."""

    def __init__(self, client: Any, running: ExitStack) -> None:
        self._client = client
        self._running = running
        self._network = client.networks.create(f"vibe-tests-{uuid4().hex[:8]}")
        running.callback(self._network.remove)
        self._worker_image: Any = None

    def broker(self) -> Broker:
        """Valkey; its port on this machine is chosen here, as Docker's changes with a restart."""
        ports = {"6379/tcp": ("127.0.0.1", free_port())}
        command = ["valkey-server", *Broker.command()[1:]]
        return Broker(self._run(BROKER_IMAGE, command, ports=ports))

    def worker(self, environ: Mapping[str, str], folder: Path) -> Worker:
        """A worker with this checkout installed, as this user: the ledger is a shared file."""
        if self._worker_image is None:
            self._worker_image, _ = self._client.images.build(
                path=str(ROOT), dockerfile="tests/containers/Dockerfile", tag=WORKER_IMAGE, rm=True
            )
        container = self._run(
            self._worker_image.id,
            Worker.command(),
            environment={
                name: value
                for name, value in environ.items()
                if name.startswith("VIBE_") or name == "PYTHONPATH"
            },
            # The ledger, PostgreSQL's unix socket and the files that jobs write to: same paths.
            volumes={"/tmp": {"bind": "/tmp", "mode": "rw"}},
            user=f"{os.getuid()}:{os.getgid()}",
            working_dir=str(folder),
            init=True,
        )
        return Worker(container)

    def _run(self, image: str, command: list[str], **options: Any) -> Any:
        container = self._client.containers.run(
            image, command, network=self._network.name, detach=True, **options
        )
        self._running.callback(container.remove, force=True)
        return container


@contextmanager
def running_engine() -> Iterator[Engine]:
    """The engine of this machine."""
    with ExitStack() as running:
        client = None if os.environ.get(FORBIDDEN) else container_client()
        if client is not None:
            running.callback(client.close)
            yield Containers(client, running)
        else:
            folder = running.enter_context(TemporaryDirectory(prefix="vibe-nodes-", dir="/tmp"))
            yield Processes(Path(folder), running)


def container_client() -> Any:
    """A client of the container engine; None where there is none."""
    try:
        client = docker.from_env(timeout=60)
        client.ping()
    except DockerException:
        return None
    return client


def free_port() -> int:
    """A port of the loopback address that nobody uses."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
