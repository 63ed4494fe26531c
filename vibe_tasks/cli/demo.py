"""`vibe demo`: the example plan that the package ships, run in a folder of its own."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from shlex import quote
from tempfile import TemporaryDirectory

import click

import vibe_tasks
from vibe_tasks.cli.commands import Command
from vibe_tasks.cli.ledger import open_ledger
from vibe_tasks.cli.printing import json_option, note
from vibe_tasks.cli.program import program
from vibe_tasks.cli.run import Run, carry_out, exit_code, insisted, workers_option
from vibe_tasks.errors import InputError
from vibe_tasks.flow.plan_source import read_plan
from vibe_tasks.store import plans
from vibe_tasks.tasks import resources
from vibe_tasks.workspace.git import git
from vibe_tasks.workspace.repository import Repository

EXAMPLE = "todo-api"


@click.command(cls=Command, example="vibe demo\nvibe demo --into /tmp/demo --workers 4")
@click.option(
    "--into", type=click.Path(path_type=Path, file_okay=False), default=Path("todo-api-demo"),
    show_default=True, metavar="DIR", help="Folder for the plan and its repository.",
)  # fmt: skip
@workers_option
@json_option
@click.option("--fresh", is_flag=True, help="Start over, also when the last run was interrupted.")
@click.pass_context
def demo(ctx: click.Context, into: Path, processes: int, as_json: bool, fresh: bool) -> None:
    """Build a to-do list with a command line and an HTTP API, in twelve tasks.

    The agent replays recordings, so nothing is needed: no key, no network. The commits and the
    tests that judge them are real. Run again, it goes on where it was interrupted, and starts
    over where it had ended.
    """
    made = lay_out(into)
    source = into / "plan.yaml"
    if not made and not fresh:
        fresh = _has_ended(source)
    if not made:
        _step_off(into)
    where = "" if into == Path("todo-api-demo") else f" --into {quote(str(into))}"
    report = carry_out(
        Run(
            source=source, again=f"{program()} demo{where}", processes=processes,
            insisted=insisted(ctx), as_json=as_json, fresh=fresh or made,
        )
    )  # fmt: skip
    if not as_json and report["outcome"] == "completed":
        _show_around(into, report["branch"])
    ctx.exit(exit_code(report))


def example() -> Path:
    """The folder of the example: in the installed package, else in the source tree.

    Raises:
        InputError: It is in neither.
    """
    package = Path(vibe_tasks.__file__).parent
    for folder in (package / "examples" / EXAMPLE, package.parent / "examples" / EXAMPLE):
        if (folder / "plan.yaml").is_file():
            return folder
    raise InputError(f"the example {EXAMPLE} is missing from this installation")


def lay_out(into: Path) -> bool:
    """Copy the example into this folder; False where it is there already.

    Raises:
        InputError: The folder holds something else, or cannot be written.
        GitError: The repository cannot be made.
    """
    origin = example()
    plan = into / "plan.yaml"
    try:
        if plan.is_file() and (into / "repo" / ".git").exists():
            if plan.read_bytes() == (origin / "plan.yaml").read_bytes():
                return False
            raise InputError(f"{plan} is not this version's example; choose another --into")
        if into.exists() and any(into.iterdir()):
            raise InputError(f"{into} is not empty; choose another --into")
        into.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=into.parent, prefix=f".{into.name}-") as folder:
            made = Path(folder, "demo")
            _copy(origin, made)
            made.rename(into)  # whole or not at all
    except OSError as error:
        raise InputError(f"cannot write {into}: {error.strerror or error}") from error
    return True


def _copy(origin: Path, into: Path) -> None:
    repo = into / "repo"
    shutil.copytree(origin / "seed", repo)
    shutil.copytree(origin / "recordings", into / "recordings")
    shutil.copy(origin / "plan.yaml", into)
    git("init", "--quiet", "--initial-branch", "main", cwd=repo)
    git("add", "--all", cwd=repo)
    git("commit", "--quiet", "--message", "An empty to-do list", cwd=repo)


def _has_ended(source: Path) -> bool:
    name = read_plan(source).name
    with open_ledger() as ledger, ledger.read() as connection:
        known = plans.latest_plan(connection, name)
    if known is None:  # the ledger is another one: what is in the folder ended for it
        return True
    if known["status"] != "running":
        note(f"the last demo has ended ({known['status']}); starting over")
        return True
    return False


def _step_off(into: Path) -> None:
    """Leave the branch of the result where somebody has checked it out in the demo's repository:
    it is to be renamed, and the folder stays as it is.
    """
    repository = Repository.open(into / "repo")
    if repository.checked_out_at(f"vibe/{EXAMPLE}") == repository.path:
        git("switch", "--quiet", "--detach", cwd=repository.path)


def _show_around(into: Path, branch: str) -> None:
    """Commands that work as they are pasted, in this shell and in this folder."""
    repo = quote(str(into / "repo"))
    vibe = f"VIBE_HOME={quote(str(resources.home()))} {program(anywhere=True)}"
    python = quote(sys.executable)
    click.echo(
        f"\nlook around:\n"
        f"  git -C {repo} log --graph --oneline {branch}\n"
        f"  git -C {repo} switch --detach {branch}\n"
        f"  (cd {repo} && {python} -m unittest -q && {python} -m todo --help)\n"
        f"  {vibe} plans show {EXAMPLE}\n"
        f"  {vibe} jobs list"
    )
