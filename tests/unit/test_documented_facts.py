"""What the documents say of the program is what the program does."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import tomllib
from importlib import import_module

import pytest
from packaging.requirements import Requirement

import vibe_tasks
from tests.documents import ROOT, blocks, table, text_of, words_in
from vibe_tasks.agents import agent, recorded
from vibe_tasks.errors import PermanentError, TransientError
from vibe_tasks.escalation import ESCALATED_TYPES
from vibe_tasks.events import Event, EventType
from vibe_tasks.failures import PERMANENT_TYPES
from vibe_tasks.flow.report import run_report
from vibe_tasks.jobs import LANES, MOVES, JobStatus, NewJob
from vibe_tasks.plan import Plan
from vibe_tasks.plan_specs import KEYS
from vibe_tasks.retry import RetryPolicy
from vibe_tasks.setting_sources import AGENT_VARIABLES
from vibe_tasks.store import jobs, plans
from vibe_tasks.store.engine import open_database
from vibe_tasks.store.extras import VIEW
from vibe_tasks.store.version import create
from vibe_tasks.tasks.job import job
from vibe_tasks.tasks.options import OURS
from vibe_tasks.tasks.schedule import SCHEDULE

PREFIXED = {"qa", "deploy", "defaults", "budget", "limits", "price"}
"""Sections whose keys the tables name together with the section."""


def test_the_life_cycle_shows_every_move():
    """The diagram's arrows are the moves that the store allows, each with a sentence."""
    page = text_of("docs/job-life-cycle.md")
    arrows = re.findall(r"^  (\[\*\]|\w+) --> (\[\*\]|\w+)(?: : (\w))?$", page, re.MULTILINE)
    drawn = {(start, end) for start, end, _ in arrows if "[*]" not in {start, end}}
    assert drawn == {(start, end) for start in MOVES for end in MOVES[start]}
    letters = [letter for _, _, letter in arrows if letter]
    assert letters == re.findall(r"^- \*\*(\w)\*\* \w", page, re.MULTILINE)
    assert {start for start, end, _ in arrows if end == "[*]"} == {
        str(status) for status in JobStatus if not MOVES[status]
    }


@pytest.mark.parametrize(("failures", "low", "high"), table("docs/retry.md", "after failure"))
def test_waits_are_as_documented(failures: str, low: str, high: str):
    """The table of waits follows from the formula, at both ends of the jitter."""
    policy = RetryPolicy()
    waits = (
        policy.wait_after(int(failures), uniform=lambda least, _most: least),
        policy.wait_after(int(failures), uniform=lambda _least, most: most),
    )
    assert waits == (float(low.removesuffix(" s")), float(high.removesuffix(" s")))


def test_permanent_errors_are_named():
    """Every type of error that is not retried is in the table of errors."""
    rows = table("docs/retry.md", "error")
    permanent = next(cell for cell, retried in rows if retried.startswith("no: dead letter"))
    assert set(words_in([permanent])) == {kind.__name__ for kind in PERMANENT_TYPES}


def test_every_key_of_a_plan_is_documented():
    """The tables of the plan file have each key once, and no key that does not exist."""
    task = words_in([row[0] for row in table("docs/plan-file.md", "key")])
    assert task == [*Plan.model_fields]
    text = text_of("docs/plan-file.md")
    for section, fields in KEYS.items():
        prefix = f"{section}." if section in PREFIXED else ""
        for key in fields:
            assert f"`{prefix}{key}`" in text, f"{section}: {key}"
    for word in re.findall(r"^\| `([\w.]+)`", text, re.MULTILINE):
        section, _, key = word.rpartition(".")
        known = KEYS[section] if section else {k for fields in KEYS.values() for k in fields}
        assert key in known or key in Plan.model_fields, word


def test_the_environment_of_agents_is_documented():
    """Each variable that an agent is given has a row, and each row is one."""
    rows = table("docs/agents.md", "variable")
    assert words_in([row[0] for row in rows]) == [
        f"VIBE_{name}"
        for name in ("JOB_ID", "PLAN", "TASK_ID", "KIND", "ATTEMPT", "FIX_ROUND", "TASK_FILE")
    ]
    assert len(rows) == len(AGENT_VARIABLES)


def test_exit_codes_are_documented():
    """The exit codes in the table mean what the table says."""
    for code, meaning in table("docs/agents.md", "code"):
        if not code.isdigit():
            continue
        if code == "0":
            agent.check_exit(0, "")
            continue
        kind = PermanentError if "permanent" in meaning else TransientError
        with pytest.raises(kind):
            agent.check_exit(int(code), "")
    assert {code for code, _ in table("docs/agents.md", "code")} >= {
        str(code) for code in (0, agent.TRANSIENT_EXIT, *agent.PERMANENT_EXITS)
    }


def test_keys_of_recordings_are_documented():
    """A recording has the keys of the table."""
    rows = table("docs/agents.md", "key")
    assert words_in([row[0] for row in rows]) == [*recorded.Recording.model_fields]


def test_options_of_jobs_are_documented():
    """The table of `@job` has its options."""
    rows = table("docs/python.md", "option of `@job`")
    options = [*inspect.signature(job).parameters][1:-1]
    assert words_in([row[0] for row in rows]) == options


def test_options_of_calls_are_documented():
    """The table of `apply_async` has every option that is ours."""
    rows = table("docs/python.md", "option of `apply_async`")
    assert set(OURS) <= set(words_in([row[0] for row in rows]))


def test_public_names_are_documented():
    """Every public name of the package is on the page about Python."""
    page = text_of("docs/python.md")
    for name in vibe_tasks.__all__:
        assert re.search(rf"\b{name}\b", page), name
        assert getattr(vibe_tasks, name)


def test_queue_functions_exist():
    """Every function of the page is where the page says."""
    for cells in table("docs/queue-functions.md", "function"):
        for name in words_in(cells[:1]):
            assert callable(getattr(jobs, name)), name
    for name in re.findall(r"^\| `(\w+\.\w+)`", text_of("docs/queue-functions.md"), re.MULTILINE):
        module, _, function = name.partition(".")
        assert callable(getattr(import_module(f"vibe_tasks.store.{module}"), function)), name


def test_lanes_and_schedule_are_documented():
    """Workers' lanes and beat's entries have a row each."""
    assert set(words_in([row[0] for row in table("docs/workers.md", "lane")])) == set(LANES)
    rows = table("docs/workers.md", "entry of beat")
    assert words_in([row[0] for row in rows]) == [*SCHEDULE]
    seconds = {"1 s": 1.0, "10 s": 10.0, "1 minute": 60.0, "1 hour": 3_600.0, "1 day": 86_400.0}
    assert [seconds[row[1]] for row in rows] == [entry["schedule"] for entry in SCHEDULE.values()]


def test_events_are_documented():
    """Each type has a place in the table, each field of an event too, and people are told of those
    that the page says.
    """
    assert set(words_in([row[0] for row in table("docs/events.md", "event")])) == set(EventType)
    named = words_in([row[0] for row in table("docs/events.md", "field of `Event`")])
    assert named == [each.name for each in dataclasses.fields(Event)]
    told = re.search(r"^Told are (.*?), each once", text_of("docs/events.md"), re.MULTILINE)
    assert told is not None
    assert set(words_in([told[1]])) == ESCALATED_TYPES


def test_columns_of_dead_letters_are_documented():
    """The page names the view's columns in order."""
    selected = VIEW.partition("SELECT")[2].partition("FROM")[0]
    columns = [column.split()[-1] for column in selected.split(",")]
    page = text_of("docs/dead-letters.md")
    assert ", ".join(f"`{column}`" for column in columns) in page.replace("\n", " ")


def test_the_run_report_is_as_documented(sqlite_url: str):
    """The report's keys are those of the page's example, and each is explained."""
    ledger = open_database(sqlite_url)
    create(ledger)
    task = {
        "id": "store", "position": 0, "title": "", "status": "running", "stage": "dev", "spec": {},
        "waiting_on": 0, "fix_round": 0, "max_fix_rounds": 3,
    }  # fmt: skip
    columns = ("name", "digest", "source", "plan_dir", "repo", "base_commit", "branch")
    plan = {"id": "p", "spec": {}, **dict.fromkeys(columns, "")}
    one = NewJob(id="j", name="vibe.dev", lane="code", kind="dev", plan_id="p", task_id="store")
    with ledger.begin() as connection:
        plans.insert_plan(connection, plan, [task], [])
        jobs.submit(connection, [one])
        jobs.claim(connection, "j", worker="w", lease=1.0)
        jobs.fail_job(connection, "j", 1, "no", uniform=lambda low, _high: low, permanent=True)
        report = run_report(connection, "p", commit=None)
    ledger.close()
    shown = next(
        json.loads(block.text) for block in blocks("json") if block.where.startswith("docs/report")
    )
    assert report.keys() == shown.keys()
    assert report["tasks"][0].keys() == shown["tasks"][0].keys()
    for part in ("jobs", "cache", "tokens"):
        assert report[part].keys() == shown[part].keys()
    page = text_of("docs/report.md")
    explained = words_in([row[0] for row in table("docs/report.md", "key")])
    needed = report.keys() | shown["tasks"][0].keys() - {"id"}
    assert {word.rpartition(".")[2] for word in explained} >= needed
    for key in report["dead_letters"][0]:
        assert f"`{key}`" in page


def test_every_dependency_is_pinned():
    """The pins are versions alone, and they are of versions that the project accepts."""
    lines = text_of("constraints.txt").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    pinned = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pins.items()}
    for version in pins.values():
        assert re.fullmatch(r"[0-9][\w.]*", version)
    project = tomllib.loads(text_of("pyproject.toml"))
    wanted = project["build-system"]["requires"] + project["project"]["dependencies"]
    for extra in project["project"]["optional-dependencies"].values():
        wanted += extra
    for requirement in map(Requirement, wanted):
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        assert requirement.specifier.contains(pinned[name]), requirement


def test_changes_of_this_version_are_told():
    """The newest entry of the changelog is the version of the project."""
    version = tomllib.loads(text_of("pyproject.toml"))["project"]["version"]
    newest = re.search(r"^## ([\d.]+)", text_of("CHANGELOG.md"), re.MULTILINE)
    assert newest is not None
    assert newest[1] == version
    assert (ROOT / "LICENSE").read_text("utf-8").lstrip().startswith("Apache License")
