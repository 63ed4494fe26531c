"""Start one program, and stay until nothing that it started is left.

Run as a script, by path: `python -I -S launcher.py CHANNEL`, in a session of its own. CHANNEL is
one end of a socket pair whose other end only the caller holds. It brings the order (`marshal`,
after 8 bytes with its length), then commands: `T` asks the program to end; the end of the channel
kills at once, also when it came because the caller was killed. Back go the program's process id on
a line, or `!`, an error number, a blank and why it could not be started. Our exit code is the
program's, 128 + n where signal n ended it.

On Linux we are the subreaper of whatever the program starts: what leaves its group or session, or
loses its parents, becomes our child, and we end when we have none left. We are two processes, the
guard and its child, the keeper, which does all this. When somebody kills the keeper, the guard
inherits its family and kills it; when somebody kills the guard, our caller closes the channel.
Elsewhere there is the keeper alone, and the program's process group is all that it reaches.

A script, and not a function run between fork and exec: see `stack/tether.py`. It imports little:
`signal`, `typing` or `ctypes` itself would each add half of its start again.
"""

from __future__ import annotations

import _ctypes
import _thread
import marshal
import os
import resource
import sys

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
"""From linux/prctl.h; the standard library does not offer them."""

SIGKILL = 9
SIGTERM = 15
SIG_DFL, SIG_IGN = None, 1
POLITE = (1, 2, 3, SIGTERM)
"""Signals that we ignore: whoever asks a whole tree of processes to end means the program."""

SIGNALS = range(1, 32)
"""Numbers as everywhere; those of SIGNALS that cannot be set are refused, which does no harm."""

SANDBOX_DEPTH = 2
"""bubblewrap is two processes before the program: one outside of its namespaces, one within."""

LINUX = sys.platform == "linux"


class Family:
    """The program and what it started, seen from two threads; for the guard the keeper is it."""

    def __init__(self, program: int, *, wrapped: bool) -> None:
        self._program = program
        self._wrapped = wrapped
        self._lock = _thread.allocate_lock()
        self._ending = False
        self.code = 128 + SIGKILL

    def terminate(self) -> None:
        """Ask the program's group to end; in a sandbox, what runs inside of it.

        bubblewrap does not hand signals on, and ends everything when it gets one itself.
        """
        with self._lock:
            if self._ending:
                return
            inner = relatives(self._program, deeper_than=SANDBOX_DEPTH - 1) if self._wrapped else ()
            for pid in inner:
                _send(pid, SIGTERM)
            if not inner:
                _send(-self._program, SIGTERM)

    def kill(self) -> None:
        """Kill all of them; `outlive` goes on with what was born meanwhile."""
        with self._lock:
            self._ending = True
            self._sweep()

    def outlive(self) -> None:
        """Reap whatever ends, until the program has ended and nothing is left."""
        if not LINUX:
            self._reap(os.waitpid(self._program, 0))
            return
        while True:
            try:
                # Without reaping: a number must stay taken while another thread may signal it.
                os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
                with self._lock:
                    while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                        self._reap(ended)
                    if self._ending:
                        self._sweep()
            except ChildProcessError:
                return

    def _reap(self, ended: tuple[int, int]) -> None:
        pid, status = ended
        if pid == self._program:
            code = os.waitstatus_to_exitcode(status)
            self.code = code if code >= 0 else 128 - code
            self._ending = True
            if not LINUX:
                self._sweep()

    def _sweep(self) -> None:
        for pid in relatives(os.getpid()) if LINUX else ():
            _send(pid, SIGKILL)
        if not LINUX:
            _send(-self._program, SIGKILL)


def relatives(root: int, *, deeper_than: int = 0) -> dict[int, list[bytes]]:
    """The processes below this one, with the fields of /proc/PID/stat from the state on.

    Args:
        root: A process id.
        deeper_than: Generations below the root to leave out.
    """
    children: dict[int, list[int]] = {}
    fields: dict[int, list[bytes]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 pathlib would double our start
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123 likewise
                    fields[int(name)] = file.read().rpartition(b") ")[2].split()
            except OSError:
                continue
            children.setdefault(int(fields[int(name)][1]), []).append(int(name))
    found: dict[int, list[bytes]] = {}
    generation, depth = [root], 0
    while generation := [pid for parent in generation for pid in children.get(parent, ())]:
        depth += 1
        if depth > deeper_than:
            found.update((pid, fields[pid]) for pid in generation)
    return found


def _c(name: str, *values: int | None) -> None:
    """Call a function of the C library; what it refuses is gone without."""
    library = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]  # None: what is loaded already
    _ctypes.call_function(_ctypes.dlsym(library, name), values)


def _send(target: int, number: int) -> None:
    """Signal a process or, by its negative number, a group."""
    try:
        os.kill(target, number)
    except OSError:  # it has just ended, or is no longer ours to signal
        return


def _read(channel: int, size: int) -> bytes:
    try:
        return os.read(channel, size)
    except ConnectionResetError:  # closed before what we wrote was read
        return b""


def _receive(channel: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = _read(channel, size - len(data))
        if not part:
            os._exit(0)  # the caller has ended
        data += part
    return data


def _become(
    argv: list[bytes], env: dict[bytes, bytes], cwd: bytes, limits: list[tuple[int, int]]
) -> None:
    """Take the program's place, in a session of its own and with default signals.

    Should somebody kill us with SIGKILL, the program at least is not left without us.
    """
    os.setsid()
    if LINUX:
        _c("prctl", PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
    for number in SIGNALS:
        _c("signal", number, SIG_DFL)
    for kind, bound in limits:
        hard = resource.getrlimit(kind)[1]
        ceiling = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        resource.setrlimit(kind, (ceiling, ceiling))
    os.chdir(cwd)
    os.execve(argv[0], argv, env)  # noqa: S606 - an argument list, no shell


def _let_go() -> None:
    """Leave input and output to the program: whoever reads them sees when it closes them."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nothing, stream)


def _guard(keeper: int) -> int:
    """Wait for the keeper's end; returns its exit code.

    An orderly one leaves nothing. What one that was killed leaves comes to us.
    """
    _let_go()
    family = Family(keeper, wrapped=False)
    family.outlive()
    return family.code


def _obey(channel: int, family: Family) -> None:
    while _read(channel, 1) == b"T":
        family.terminate()
    family.kill()


def main(channel: int) -> int:
    """Do what the channel says; returns the exit code."""
    os.set_inheritable(channel, False)
    for number in POLITE:
        _c("signal", number, SIG_IGN)
    argv, env, cwd, limits, wrapped = marshal.loads(  # noqa: S302 our caller's own words
        _receive(channel, int.from_bytes(_receive(channel, 8), "big"))
    )
    try:
        if LINUX:
            _c("prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
            keeper = os.fork()
            if keeper:
                os.close(channel)  # whoever waits for its end waits for the keeper
                return _guard(keeper)
            _c("prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # it is not inherited
        program = os.fork()
        if program == 0:
            _become(argv, env, cwd, limits)
    except (OSError, ValueError) as error:
        number = getattr(error, "errno", None) or 0
        os.write(channel, f"!{number} {error}\n".encode(errors="replace"))
        os._exit(127)
    _let_go()
    os.write(channel, b"%d\n" % program)
    family = Family(program, wrapped=wrapped)
    _thread.start_new_thread(_obey, (channel, family))
    family.outlive()
    return family.code


if __name__ == "__main__":
    os._exit(main(int(sys.argv[1])))
