"""A program under its launcher: started, asked to end, and gone for sure."""

from __future__ import annotations

import errno
import marshal
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import MAGIC_NUMBER, cache_from_source
from pathlib import Path
from typing import TYPE_CHECKING

from vibe_tasks.errors import AttemptError, PermanentError, TransientError
from vibe_tasks.workspace import launcher

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

EXHAUSTED = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC})
"""What a machine answers that has no room for another process at the moment."""

# An interpreter may need these to find its own libraries; the program gets what it was given.
_LIBRARIES = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
# Seconds to wait for the last of a killed family; one that hangs in the kernel must not keep us.
_GONE = 10.0


def _script() -> str:
    """The launcher, compiled where that is current: to compile it takes a fifth of its start."""
    source = Path(launcher.__file__)
    compiled = Path(cache_from_source(source))
    try:
        header, status = compiled.read_bytes()[:16], source.stat()
    except OSError:
        return str(source)
    # As importlib writes it: version, flags, time and size of the source.
    current = (0, int(status.st_mtime) & 0xFFFFFFFF, status.st_size & 0xFFFFFFFF)
    if (
        len(header) < 16
        or header[:4] != MAGIC_NUMBER
        or struct.unpack("<III", header[4:]) != current
    ):
        return str(source)
    return str(compiled)


_SCRIPT = _script()


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to start.

    Attributes:
        argv: Absolute path of the program, and its arguments.
        cwd: Working directory.
        env: The whole environment.
        stdin: What it reads from standard input.
        limits: Resource and its bound, for setrlimit.
        wrapped: Whether the program is bubblewrap with another one inside.
        handed: File descriptors of ours that it gets, by the same numbers.
    """

    argv: Sequence[str]
    cwd: Path
    env: Mapping[str, str]
    stdin: str = ""
    limits: tuple[tuple[int, int], ...] = ()
    wrapped: bool = False
    handed: tuple[int, ...] = ()

    def packed(self) -> bytes:
        """As the launcher reads it."""
        environment = {os.fsencode(name): os.fsencode(value) for name, value in self.env.items()}
        argv = [os.fsencode(part) for part in self.argv]
        order = marshal.dumps(
            (argv, environment, os.fsencode(self.cwd.absolute()), self.limits, self.wrapped)
        )
        return len(order).to_bytes(8, "big") + order


class Launched:
    """A running program, or one that has ended with everything it started."""

    def __init__(self, process: subprocess.Popen[bytes], channel: socket.socket) -> None:
        self.process = process
        self._channel = channel
        self._heard = b""

    def over(self) -> bool:
        """Whether nothing of it is left."""
        return self.process.poll() is not None

    def terminate(self) -> None:
        """Send SIGTERM to the program's group."""
        with suppress(OSError):  # it has ended
            self._channel.sendall(b"T")

    def kill(self) -> None:
        """Kill everything at once, and wait until it is gone."""
        with suppress(OSError):
            self._channel.shutdown(socket.SHUT_WR)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=_GONE)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._listen()
        if self.process.returncode < 0:  # somebody killed the launcher: see whether all is gone
            first = self._heard.split(b"\n", 1)[0]
            if first.isdigit():
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(int(first), signal.SIGKILL)

    def exit_code(self, program: str) -> int:
        """The exit code of one that is over, 128 + n when signal n ended it.

        Raises:
            PermanentError: The program could not be started.
            TransientError: The machine had no room for it.
        """
        _, refused, said = self._heard.decode(errors="replace").partition("!")
        if refused:
            number, _, reason = said.strip().partition(" ")
            raise _not_started(program, int(number), reason)
        code = self.process.returncode
        return code if code >= 0 else 128 - code

    def _listen(self) -> None:
        """Read what there is to its end, which comes with that of the launcher's last process."""
        self._channel.settimeout(_GONE)
        with suppress(OSError):
            while part := self._channel.recv(65_536):
                self._heard += part


@contextmanager
def launched(order: Order) -> Iterator[Launched]:
    """The running program; at the end nothing of it is left, whatever was raised.

    Raises:
        PermanentError: It cannot be started.
        TransientError: The machine has no room for another process.
    """
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            process = _popen(order, theirs)
        with process:
            started = Launched(process, ours)
            try:
                with suppress(BrokenPipeError, ConnectionResetError):  # killed: its end tells
                    ours.sendall(order.packed())
                yield started
            finally:
                started.kill()


def _popen(order: Order, channel: socket.socket) -> subprocess.Popen[bytes]:
    """Start the launcher. Input comes from a file without a name: nobody has to feed a pipe."""
    program = order.argv[0]
    try:
        if any("\0" in text for text in (*order.argv, *order.env, *order.env.values())):
            raise ValueError("embedded null byte")  # noqa: TRY301 one error for all of them
        with tempfile.TemporaryFile() as given:
            given.write(order.stdin.encode(errors="replace"))
            given.seek(0)
            return subprocess.Popen(
                [sys.executable, "-I", "-S", _SCRIPT, str(channel.fileno())],
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd="/",
                env={name: os.environ[name] for name in _LIBRARIES if name in os.environ},
                pass_fds=(channel.fileno(), *order.handed),
                start_new_session=True,
            )
    except (OSError, ValueError) as error:
        raise _not_started(program, getattr(error, "errno", None), str(error)) from error


def _not_started(program: str, number: int | None, reason: str) -> AttemptError:
    kind: type[AttemptError] = TransientError if number in EXHAUSTED else PermanentError
    return kind(f"program {program!r} cannot be started: {reason}")
