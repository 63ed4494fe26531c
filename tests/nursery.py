"""A process that has imported what workers import, and forks them: no start pays for that again.

Run as `python -m tests.nursery NUMBER`, with the number of a socket where `tests/forked_child.py`
asks for children. What it imports reads no settings: `vibe_tasks.tasks` does, so each child imports
that itself. It has one thread and no connection to anything: a fork would share them.
"""

from __future__ import annotations

import array
import ctypes
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector

from vibe_tasks.stack.tether import PR_SET_PDEATHSIG

IMPORTED = (
    "celery.app.amqp", "celery.app.control", "celery.apps.beat", "celery.apps.worker",
    "celery.backends.redis", "celery.bin.beat", "celery.bin.worker", "celery.concurrency.prefork",
    "celery.fixups.django", "celery.worker.autoscale", "celery.worker.components",
    "celery.worker.consumer", "kombu.transport.redis", "psycopg",
    "sqlalchemy.dialects.postgresql.psycopg", "sqlalchemy.dialects.sqlite.pysqlite", "structlog",
    "vibe_tasks.flow.attempts", "vibe_tasks.flow.budgets", "vibe_tasks.flow.deadlines",
    "vibe_tasks.flow.deployment", "vibe_tasks.flow.development", "vibe_tasks.flow.endings",
    "vibe_tasks.flow.plan_source", "vibe_tasks.flow.scaling", "vibe_tasks.flow.submission",
    "vibe_tasks.flow.voting", "vibe_tasks.flow.writing", "vibe_tasks.store.event_retention",
    "vibe_tasks.store.metric_totals", "vibe_tasks.store.upkeep", "vibe_tasks.store.version",
)  # fmt: skip

LARGEST = 1_000_000
"""Bytes of a request: arguments and an environment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Birth:
    """A child that is asked for.

    Attributes:
        argv: What follows `python`: `-m` and a module, then its arguments.
        environ: Its whole environment.
        folder: Where it runs.
        output: File descriptor of its log.
        channel: Tells its number and, when it has ended, its exit code; it is reaped when the
            other end is closed.
    """

    argv: list[str]
    environ: dict[str, str]
    folder: str
    output: int
    channel: socket.socket


def asked(requests: socket.socket) -> Birth | None:
    """The next request; None where nobody is there to ask any more."""
    size = array.array("i").itemsize
    text, given, _, _ = requests.recvmsg(LARGEST, socket.CMSG_SPACE(2 * size))
    if not text:
        return None
    output, channel = array.array("i", given[0][2])
    return Birth(**json.loads(text), output=output, channel=socket.socket(fileno=channel))


def born(requests: socket.socket) -> Birth | None:
    """Fork a child for each request. Returns in each of them what it is to be, here None."""
    us, living = os.getpid(), dict[int, socket.socket]()
    wake, woken = socket.socketpair()
    woken.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken.fileno())
    with DefaultSelector() as selector:
        selector.register(requests, EVENT_READ)
        selector.register(wake, EVENT_READ)
        while True:
            ready = {key.fileobj for key, _ in selector.select()}
            if wake in ready:
                wake.recv(4096)
                for pid, channel in living.items():
                    _tell_end(pid, channel)
            for pid, channel in [each for each in living.items() if each[1] in ready]:
                selector.unregister(channel)  # the other end is closed
                channel.close()
                del living[pid]
                os.kill(pid, signal.SIGKILL)  # whoever asked is gone, or knows that it has ended
                os.waitpid(pid, 0)
            if requests not in ready:
                continue
            if (birth := asked(requests)) is None:
                return None
            if (pid := os.fork()) == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for each in (requests, wake, woken, *living.values()):
                    each.close()
                _tie_to(us)
                os.setsid()  # whoever knows its number may kill its group
                birth.channel.sendall(b"%d\n" % os.getpid())
                return birth
            os.close(birth.output)
            living[pid] = birth.channel
            selector.register(birth.channel, EVENT_READ)
            os.kill(us, signal.SIGCHLD)  # it may have ended before we knew its number


def _tell_end(pid: int, channel: socket.socket) -> None:
    ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if ended is None:
        return
    code = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
    with suppress(OSError):
        channel.sendall(b"%d\n" % code)
        channel.shutdown(socket.SHUT_WR)  # once is enough


def _tie_to(parent: int) -> None:
    """End when the parent does, as behind `tether.py`."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def live(birth: Birth, path: list[str]) -> None:
    """Be `python` with these arguments.

    Args:
        birth: What to be.
        path: Where modules are found beyond the folder and `PYTHONPATH`.
    """
    birth.channel.close()
    os.dup2(birth.output, 1)
    os.dup2(birth.output, 2)
    os.close(birth.output)
    os.chdir(birth.folder)
    os.environ.clear()
    os.environ.update(birth.environ)
    places = birth.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = [birth.folder, *filter(None, places), *path]
    importlib.invalidate_caches()
    _, module, *arguments = birth.argv
    sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def main() -> None:
    """Import, then fork until nobody asks any more."""
    ours = {str(Path.cwd()), *os.environ.get("PYTHONPATH", "").split(os.pathsep)}
    path = [each for each in sys.path if each not in ours]
    for name in IMPORTED:
        importlib.import_module(name)
    assert len(list(Path("/proc/self/task").iterdir())) == 1, "a fork would lose the other threads"
    assert "vibe_tasks.tasks" not in sys.modules, "each child has its own settings"
    gc.freeze()
    if birth := born(socket.socket(fileno=int(sys.argv[1]))):
        live(birth, path)


if __name__ == "__main__":
    main()
