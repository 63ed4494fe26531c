"""Bad input: one line that a person can act on, exit code 2, and nothing half-made."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.acceptance.plan_folder import branches, make_plan
from tests.acceptance.vibe_command import Finished, Vibe
from tests.homes import forget, own_home
from vibe_tasks.cli.main import cli
from vibe_tasks.workspace.git import git

HEAD = """\
version: 1
name: work
repo: repo
agent: mine
agents:
  mine: {type: command, argv: ["true"]}
"""
ONE = "tasks: [{id: a, title: A}]\n"

BROKEN = {
    "bad syntax": (HEAD + "tasks: [{id: a, title: A}\n", "plan.yaml:"),
    "empty file": ("", "plan.yaml"),
    "a list": ("- id: a\n", "plan.yaml"),
    "unknown key": (HEAD + "colour: red\n" + ONE, "colour"),
    "near miss": (HEAD + ONE.replace("title", "titel"), "title"),
    "no name": (HEAD.replace("name: work\n", "") + ONE, "name"),
    "bad name": (HEAD.replace("name: work", "name: My Work") + ONE, "name"),
    "bad version": (HEAD.replace("version: 1", "version: 7") + ONE, "version"),
    "no tasks": (HEAD + "tasks: []\n", "tasks"),
    "doubled id": (HEAD + "tasks: [{id: a, title: A}, {id: a, title: B}]\n", "'a'"),
    "ids that differ in case": (HEAD + "tasks: [{id: a, title: A}, {id: A, title: B}]\n", "'A'"),
    "doubled key": (HEAD + "name: other\n" + ONE, "name"),
    "unknown need": (HEAD + "tasks: [{id: a, title: A, needs: [b]}]\n", "needs"),
    "needs itself": (HEAD + "tasks: [{id: a, title: A, needs: [a]}]\n", "itself"),
    "cycle": (
        HEAD + "tasks: [{id: a, title: A, needs: [b]}, {id: b, title: B, needs: [a]}]\n", "a",
    ),
    "unknown agent": (HEAD + "tasks: [{id: a, title: A, agent: yours}]\n", "yours"),
    "a path that leaves": (HEAD + "tasks: [{id: a, title: A, files: [../x]}]\n", "../x"),
    "effort out of range": (HEAD + "tasks: [{id: a, title: A, effort: 9}]\n", "effort"),
    "unknown priority": (HEAD + "tasks: [{id: a, title: A, priority: urgent}]\n", "priority"),
    "not a number": (HEAD + "defaults: {retry_base: .nan}\n" + ONE, "retry_base"),
    "negative rounds": (HEAD + "defaults: {max_fix_rounds: -1}\n" + ONE, "max_fix_rounds"),
    "empty argv": (HEAD.replace('["true"]', "[]") + ONE, "argv"),
    "unknown agent type": (HEAD.replace("type: command", "type: oracle") + ONE, "type"),
    "nothing to do": (HEAD + "tasks: [{id: a}]\n", "a"),
    "an id that is a path": (HEAD + "tasks: [{id: .., title: A}]\n", "id"),
    "a bomb of aliases": (
        HEAD + "tasks:\n  - id: a\n    title: &x [l, l, l, l]\n    files: [*x, *x]\n", "tasks[0]",
    ),
}  # fmt: skip
"""What is wrong, the plan's text, and a word that the message must have."""


Here = Callable[..., Finished]

COUNTS = [
    "SELECT count(*) FROM plans", "SELECT count(*) FROM tasks", "SELECT count(*) FROM jobs",
    "SELECT count(*) FROM job_history", "SELECT count(*) FROM events",
]  # fmt: skip
"""What a refused plan must not have left in the ledger."""


@pytest.fixture
def plan(vibe: Vibe) -> Path:
    """A sound plan with a repository."""
    return make_plan(vibe.folder, [{"id": "a"}], agent={"type": "command", "argv": ["true"]})


@pytest.fixture
def here(vibe: Vibe, monkeypatch: pytest.MonkeyPatch) -> Iterator[Here]:
    """`vibe.run` in this process: what is refused before anything starts needs none of its own."""

    def run(*arguments: str | Path, **settings: str) -> Finished:
        for name, value in {"VIBE_HOME": str(vibe.home), **settings}.items():
            monkeypatch.setenv(name, value)
        forget()
        said = CliRunner().invoke(cli, [*map(str, arguments)], prog_name="vibe")
        return Finished(code=said.exit_code, out=said.stdout, err=said.stderr)

    with own_home(vibe.folder, monkeypatch):
        yield run


def refused(vibe: Vibe, finished: Finished, *words: str) -> None:
    """Check the refusal, and that nothing was begun."""
    assert finished.code == 2, finished
    assert finished.out == ""
    lines = finished.err.splitlines()
    # Only a plan with several mistakes has more than one line: each mistake its own.
    assert len(lines) == 1 or all("plan.yaml:" in line for line in lines), finished.err
    assert all(line.startswith("vibe: ") for line in lines)
    assert "Traceback" not in finished.err
    for word in words:
        assert word in lines[0]
    if (vibe.folder / "repo" / ".git").exists():
        assert branches(vibe.folder) == ["main"]
        refs = git("for-each-ref", "--format=%(refname)", "refs/vibe", cwd=vibe.folder / "repo")
        assert refs.strip() == ""
    for query in COUNTS:
        assert vibe.rows(query) in ([], [(0,)])
    assert not (vibe.home / "broker.sock").exists()
    assert vibe.strays() == []


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plan_is_refused(vibe: Vibe, here: Here, plan: Path, name: str):
    """The line names the file and what is wrong in it."""
    text, word = BROKEN[name]
    plan.write_text(text, encoding="utf-8")
    refused(vibe, here("run", plan, "--json"), str(plan), word)


def test_a_broken_plan_is_refused_by_the_program(vibe: Vibe, plan: Path):
    """As a process, too, whose whole output a user sees."""
    text, word = BROKEN["near miss"]
    plan.write_text(text, encoding="utf-8")
    refused(vibe, vibe.run("run", plan, "--json"), str(plan), word)


def test_a_plan_that_is_not_there_is_refused(vibe: Vibe, here: Here):
    """The line names the path; a folder or bytes that are no text are no plan either."""
    refused(vibe, here("run", "nowhere.yaml"), "nowhere.yaml", "No such file")
    refused(vibe, here("run", vibe.folder), str(vibe.folder))
    (vibe.folder / "bytes.yaml").write_bytes(b"\xff\xfe\x00plan")
    refused(vibe, here("run", "bytes.yaml"), "bytes.yaml", "UTF-8")


def test_an_agent_that_the_plan_does_not_have_is_refused(vibe: Vibe, here: Here, plan: Path):
    """`--agent` takes names of the plan's agents, and says which is near."""
    refused(vibe, here("run", plan, "--agent", "min"), "min", "mine")


def _missing(repository: Path) -> None:
    repository.rename(repository.with_name("elsewhere"))


def _no_repository(repository: Path) -> None:
    _missing(repository)
    repository.mkdir()


def _without_commit(repository: Path) -> None:
    _no_repository(repository)
    git("init", "-q", "-b", "main", cwd=repository)


@pytest.mark.parametrize("spoil", [_missing, _no_repository])
def test_a_repository_that_is_not_there_is_refused(
    vibe: Vibe, here: Here, plan: Path, spoil: Callable[[Path], None]
):
    """No repository is made on the way."""
    repository = vibe.folder / "repo"
    spoil(repository)
    refused(vibe, here("run", plan), str(repository))
    assert not (repository / ".git").exists()


def test_a_repository_without_a_commit_is_refused(vibe: Vibe, here: Here, plan: Path):
    """There is nothing that a task could start from."""
    repository = vibe.folder / "repo"
    _without_commit(repository)
    finished = here("run", plan)
    assert finished.code == 2
    assert "commit" in finished.err
    assert len(finished.err.splitlines()) == 1
    assert branches(vibe.folder) == []


@pytest.mark.parametrize("staged", [False, True])
def test_uncommitted_changes_are_refused_and_left_alone(
    vibe: Vibe, here: Here, plan: Path, staged: bool
):
    """Every byte of the folder and of git's own files is as before."""
    repository = vibe.folder / "repo"
    (repository / "README").write_text("half an idea\n")
    (repository / "new.txt").write_text("another\n")
    if staged:
        git("add", "README", cwd=repository)
    before = content(repository)
    refused(vibe, here("run", plan), str(repository), "README", "uncommitted")
    assert content(repository) == before


def test_a_base_that_does_not_exist_is_refused(vibe: Vibe, here: Here, plan: Path):
    """The line names it."""
    document = json.loads(plan.read_text())
    plan.write_text(json.dumps({**document, "base": "develop"}))
    refused(vibe, here("run", plan), "develop")


def test_a_branch_from_elsewhere_is_not_overwritten(vibe: Vibe, here: Here, plan: Path):
    """Somebody's branch of the result's name stays where it is; `--fresh` is the way out."""
    git("branch", "vibe/work", "main", cwd=vibe.folder / "repo")
    finished = here("run", plan)
    assert finished.code == 2
    assert "--fresh" in finished.err
    assert vibe.rows("SELECT count(*) FROM plans") == [(0,)]
    assert branches(vibe.folder) == ["main", "vibe/work"]


def test_a_ledger_of_a_newer_program_is_refused_and_left_alone(vibe: Vibe, here: Here, plan: Path):
    """It is neither read nor written: who is newer may have changed everything."""
    vibe.home.mkdir()
    file = vibe.home / "ledger.db"
    connection = sqlite3.connect(file)
    connection.executescript(
        "PRAGMA auto_vacuum = INCREMENTAL; CREATE TABLE alembic_version (version_num TEXT);"
        "INSERT INTO alembic_version VALUES ('9999'); CREATE TABLE secret (x)"
    )
    connection.close()
    refused(vibe, here("run", plan), "9999", "newer")
    assert vibe.rows("SELECT name FROM sqlite_master ORDER BY 1") == [
        ("alembic_version",), ("secret",),
    ]  # fmt: skip


def test_a_broken_ledger_is_refused_and_left_alone(vibe: Vibe, here: Here, plan: Path):
    """A file that is no database is not ours to overwrite."""
    vibe.home.mkdir()
    file = vibe.home / "ledger.db"
    file.write_bytes(b"this is no database, but somebody's notes" * 100)
    before = file.read_bytes()
    finished = here("run", plan)
    assert (finished.code, len(finished.err.splitlines())) == (2, 1), finished.err
    assert "ledger" in finished.err
    assert file.read_bytes() == before
    assert branches(vibe.folder) == ["main"]


def test_a_broker_that_is_not_there_is_refused(vibe: Vibe, plan: Path):
    """The line names it, without its password; the plan is not accepted half."""
    url = "redis://:hidden@127.0.0.1:1/0"
    finished = vibe.run("run", plan, VIBE_BROKER_URL=url, seconds=30)
    refused(vibe, finished, "127.0.0.1:1")
    assert "hidden" not in finished.err


@pytest.mark.parametrize(
    ("setting", "word"),
    [
        ("VIBE_LEASE_SECONDS=soon", "soon"),
        ("VIBE_LEASE_SECONDS=-1", "-1"),
        ("VIBE_LEESE_SECONDS=30", "VIBE_LEASE_SECONDS"),
        ("VIBE_BROKER_URL=amqp://localhost", "amqp"),
        ("VIBE_DATABASE_URL=mysql://localhost/x", "mysql"),
        ("VIBE_DATABASE_URL=postgresql://nobody@127.0.0.1:1/none", "127.0.0.1"),
        ("VIBE_DATABASE_URL=sqlite:////no/such/folder/x.db", "/no/such/folder"),
        ("VIBE_HOME=/proc/nowhere", "/proc/nowhere"),
        ("VIBE_IMPORTS=no_such_module", "no_such_module"),
    ],
)
def test_a_wrong_setting_is_refused(vibe: Vibe, here: Here, plan: Path, setting: str, word: str):
    """The line names the variable or the place that it leads to."""
    name, _, value = setting.partition("=")
    refused(vibe, here("run", plan, **{name: value}), word)


def test_a_wrong_settings_file_is_refused(vibe: Vibe, here: Here, plan: Path):
    """The line names the file and the key."""
    (vibe.folder / "vibe.toml").write_text("lease_secs = 3\n")
    refused(vibe, here("run", plan), "vibe.toml", "lease_secs")
    (vibe.folder / "vibe.toml").write_text("lease_seconds = \n")
    refused(vibe, here("run", plan), "vibe.toml")


def content(folder: Path) -> dict[str, str]:
    """Digest of every file below a folder, git's own included."""
    return {
        str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
