"""The two kinds of node of our clusters, for pytest-celery: a broker and a worker of ours."""

from __future__ import annotations

from typing import Any

from pytest_celery import CeleryWorkerContainer, RedisContainer

from tests.containers.process import ProcessContainer


class Broker(RedisContainer):
    """Redis or Valkey. As a process it is at one address for everybody."""

    @property
    def url(self) -> str:
        """The address for other nodes."""
        return self.host_url if self._is_process else super().url

    @property
    def host_url(self) -> str:
        """The address for the tests."""
        return f"{self.prefix()}127.0.0.1:{self.port}/{self.vhost}"

    @property
    def port(self) -> int:
        """The port at this machine's loopback address; it survives restarts."""
        while not self.ready():
            pass
        return self.ports["6379/tcp"][0]

    @property
    def _is_process(self) -> bool:
        return isinstance(self._container, ProcessContainer)


class Worker(CeleryWorkerContainer):
    """`celery -A vibe_tasks worker`, two processes, for the lane `code`."""

    @classmethod
    def worker_name(cls) -> str:
        """What stands before the host's name."""
        return "vibe"

    @classmethod
    def worker_queue(cls) -> str:
        """Its lane."""
        return "code"

    @classmethod
    def command(cls, *args: str, **_: Any) -> list[str]:
        """How it is started."""
        return [
            "celery", "-A", "vibe_tasks", "worker", f"--loglevel={cls.log_level()}",
            "-n", f"{cls.worker_name()}@%h", "-Q", cls.worker_queue(), "-c", "2",
            "--without-gossip", "--without-mingle", *args,
        ]  # fmt: skip
