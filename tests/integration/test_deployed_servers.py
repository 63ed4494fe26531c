"""The broker and Flower as compose and the manifests start them."""

from __future__ import annotations

import subprocess
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest

from tests.cluster import running_cluster
from tests.containers.engine import free_port
from tests.manifests import workload
from tests.processes import until
from vibe_tasks.errors import UnavailableError
from vibe_tasks.stack.broker import valkey_server
from vibe_tasks.tasks.broker_probe import probe

CONFIGURATION = "/run/secrets/broker.conf"


@contextmanager
def running(argv: list[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process, killed at the end."""
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(argv, cwd=folder, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait(60)


def test_the_broker_asks_for_its_password_and_keeps_every_message(tmp_path: Path):
    """The command line of compose, its file of the form that the example of secrets shows."""
    (tmp_path / "broker.conf").write_text("requirepass letmein\n")
    port = free_port()
    command = workload("docker-compose.yml", "broker").command
    assert command[1] == CONFIGURATION
    assert command[2:] == workload("overlays/small", "vibe-broker").command[2:]
    argv = [str(valkey_server()), str(tmp_path / "broker.conf"), *command[2:], "--port", str(port)]
    with running([*argv, "--bind", "127.0.0.1"], tmp_path):
        until(lambda: answers(f"redis://:letmein@127.0.0.1:{port}/0"))
        found = probe(f"redis://:letmein@127.0.0.1:{port}/0")
        assert (found.forgets, found.limit) == (False, 400 * 1024 * 1024)
        with pytest.raises(UnavailableError, match="authenticate"):
            probe(f"redis://127.0.0.1:{port}/0")


def answers(url: str) -> bool:
    """Whether a broker is there."""
    try:
        probe(url)
    except UnavailableError:
        return False
    return True


def status(url: str, user: str = "", *, post: bool = False) -> int:
    """HTTP status of a request, 0 where nobody listens."""
    head = {"Authorization": f"Basic {b64encode(user.encode()).decode()}"} if user else {}
    request = Request(url, headers=head, method="POST" if post else "GET")  # noqa: S310
    try:
        with urlopen(request, timeout=60) as answer:  # noqa: S310
            return int(answer.status)
    except HTTPError as error:
        return error.code
    except (URLError, OSError):
        return 0


def test_flower_lets_nobody_in_without_a_name_and_nobody_change_anything(
    request: pytest.FixtureRequest,
):
    """The command line of the manifests; its probe needs no name, as Kubernetes has none."""
    flower = workload("overlays/small", "vibe-flower")
    port = free_port()
    command = [each.replace("5555", str(port)).replace("0.0.0.0", "127.0.0.1")  # noqa: S104
               for each in flower.command]  # fmt: skip
    (container,) = flower.spec["containers"]
    path = container["livenessProbe"]["httpGet"]["path"]
    with running_cluster(request, "sqlite") as cluster:
        cluster.celery(*command[1:], environ={"FLOWER_BASIC_AUTH": "reader:letmein"})
        base = f"http://127.0.0.1:{port}"
        until(lambda: status(f"{base}{path}") == 200, seconds=90)
        assert status(f"{base}/tasks") == 401
        assert status(f"{base}/tasks", "reader:letmein") == 200
        revoke = f"{base}/api/task/revoke/some-id"
        assert status(revoke, post=True) == 401
        assert status(revoke, "reader:letmein", post=True) == 403
