"""A process with the face of a container: what pytest-celery needs of Docker, and no more.

pytest-celery wraps each node around one container object of docker-py. This class stands in for
that object where there is no container engine.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from socket import create_connection
from typing import Any
from uuid import uuid4

import psutil

from tests.processes import descendants
from vibe_tasks.stack.children import Child, Program

LISTENING = "sl local rem st\n0: 0100007F:{port:04X} 00000000:0000 0A"
"""A listening socket in the words of /proc/net/tcp."""


class ProcessContainer:
    """One program in one folder; its log is kept over restarts, as a container's is.

    Args:
        argv: The program; `%h` becomes the container's host name.
        environ: Its whole environment.
        folder: Its working directory.
        logs: Folder of its log.
        ports: Port of the container, and the one of this machine that stands for it.
    """

    labels: Mapping[str, str] = {}

    def __init__(
        self,
        argv: Sequence[str],
        *,
        environ: Mapping[str, str],
        folder: Path,
        logs: Path,
        ports: Mapping[int, int] | None = None,
    ) -> None:
        self.id = uuid4().hex
        self.name = f"process-{self.id[:12]}"
        argv = [part.replace("%h", self.id[:12]) for part in argv]
        self._program = Program(
            name=self.name, argv=("/usr/bin/env", "-C", str(folder), *argv), environ=environ
        )
        self._logs = logs
        self._ports = dict(ports or {})
        self._child = Child(self._program, logs=logs)
        self.status = "running"

    @property
    def attrs(self) -> dict[str, Any]:
        """What Docker's `inspect` says."""
        ports = {f"{inner}/tcp": [{"HostPort": str(port)}] for inner, port in self._ports.items()}
        environ = [f"{name}={value}" for name, value in self._program.environ.items()]
        return {
            "Config": {"Hostname": self.id[:12], "Env": environ, "Labels": self.labels},
            "HostConfig": {"PortBindings": ports},
            "NetworkSettings": {"Networks": {"lo": {"IPAddress": "127.0.0.1"}}, "Ports": ports},
            "State": {"Status": self.status, "ExitCode": self._child.exit_code() or 0},
        }

    def reload(self) -> None:
        """Look again; what is known of a container is as old as the last look."""
        self.status = "running" if self._child.exit_code() is None else "exited"

    def kill(self, signal: str | int | None = None) -> None:
        """SIGKILL ends all its processes, any other signal goes to the first one."""
        number = _number(signal)
        if number == _number(None):
            self._end()
        elif self._child.exit_code() is None:
            os.kill(self._child.pid, number)

    def restart(self, timeout: float = 10) -> None:
        """Ask it to end, kill what is left after `timeout` seconds, start it again."""
        if self._child.exit_code() is None:
            self._child.ask_to_end()
            self._child.wait(timeout)
        self._end()
        self._child = Child(self._program, logs=self._logs)

    def wait(self, timeout: float = 60) -> dict[str, int]:
        """Wait for its end; the exit code."""
        code = self._child.wait(timeout)
        assert code is not None, f"{self.name} runs still after {timeout} s"
        return {"StatusCode": code}

    def remove(self, *, force: bool = False) -> None:
        """End it for good."""
        assert force or self._child.exit_code() is not None
        self._end()

    def logs(self) -> bytes:
        """What it has written since its first start."""
        return self._child.log.read_bytes()

    def exec_run(self, command: str) -> tuple[int, bytes]:
        """Answer the one question that pytest-docker-tools asks: which ports are listened at."""
        assert "/proc/net/" in command, f"no container to run {command!r} in"
        lines = [
            LISTENING.format(port=inner) for inner, port in self._ports.items() if _answers(port)
        ]
        return 0, "\n".join(lines).encode()

    def _end(self) -> None:
        """SIGKILL to the whole tree; jobs may have started sessions of their own."""
        with suppress(psutil.NoSuchProcess):
            first = psutil.Process(self._child.pid)
            below = descendants(first) if self._child.exit_code() is None else []
            self._child.kill()
            for process in below:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        self._child.kill()


def _number(name: str | int | None) -> int:
    if name is None:
        return signal.SIGKILL
    return signal.Signals[name] if isinstance(name, str) else name


def _answers(port: int) -> bool:
    try:
        create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
