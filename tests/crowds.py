"""Several processes that do the same at once.

They are forked from one program that has imported what they need: ten starts of Python take
longer than what ten processes do in most tests. Each has pipes of its own; nothing that is opened
after the imports is shared.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from tests.processes import unmeasured

FORKS = """
import ast, json, os, sys, traceback
code, members = json.loads(sys.argv[1])
imports = [node for node in ast.parse(code).body if isinstance(node, (ast.Import, ast.ImportFrom))]
exec(compile(ast.Module(imports, []), "imports", "exec"), {})
children = []
for reads, writes, arguments in members:
    if (child := os.fork()) == 0:
        os.dup2(reads, 0), os.dup2(writes, 1), os.closerange(3, 1024)
        sys.stdin, sys.stdout, sys.argv[1:] = open(0), open(1, "w"), arguments
        try:
            exec(compile(code, "member", "exec"), {"__name__": "__main__"})
            sys.stdout.flush()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    children.append(child)
os.closerange(3, 1024)
sys.exit(any([os.waitpid(child, 0)[1] for child in children]))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """Processes that run.

    Attributes:
        program: Their parent, which ends after the last of them.
        pipes: Standard input and output of each.
    """

    program: subprocess.Popen[bytes]
    pipes: Sequence[tuple[TextIO, TextIO]]

    def lines(self) -> list[str]:
        """The next line of each, when all have written one."""
        return [output.readline().rstrip("\n") for _, output in self.pipes]

    def go(self) -> None:
        """Give a line to each that waits for one."""
        for number, (entry, _) in enumerate(self.pipes):
            entry.write(f"{number}\n")
            entry.flush()

    def outputs(self, *, seconds: float = 120) -> list[str]:
        """What each has written beyond the lines that were read; all must end well."""
        for entry, _ in self.pipes:
            entry.close()
        assert self.program.wait(seconds) == 0
        return [output.read() for _, output in self.pipes]


@contextmanager
def crowd(
    code: str,
    members: Sequence[Sequence[str]],
    *,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Iterator[Crowd]:
    """A process with this code for each list of arguments; killed at the end if they still run.

    Args:
        code: Runs as `python -c` would run it. It may write 60 kB between two looks of ours.
        members: The arguments of each.
        environ: In place of this process's environment. Coverage is not measured in them.
        cwd: Where they run.
    """
    with ExitStack() as stack:
        theirs, pipes = [], []
        for arguments in members:
            reads, entry = os.pipe()
            output, writes = os.pipe()
            theirs.append((reads, writes, list(arguments)))
            pipes.append((
                stack.enter_context(os.fdopen(entry, "w", encoding="utf-8")),
                stack.enter_context(os.fdopen(output, encoding="utf-8")),
            ))  # fmt: skip
        given = [end for reads, writes, _ in theirs for end in (reads, writes)]
        program = subprocess.Popen(
            [sys.executable, "-c", FORKS, json.dumps([code, theirs])], pass_fds=given, cwd=cwd,
            env=unmeasured(os.environ if environ is None else environ), start_new_session=True,
        )  # fmt: skip
        for end in given:
            os.close(end)
        stack.callback(_end, program)
        yield Crowd(program=program, pipes=pipes)


def _end(program: subprocess.Popen[bytes]) -> None:
    if program.poll() is None:
        os.killpg(program.pid, 9)
    program.wait(60)
