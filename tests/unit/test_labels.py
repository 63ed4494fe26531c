"""Labels: of workers, of calls and of a plan's jobs."""

from __future__ import annotations

from math import inf, nan
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibe_tasks import job
from vibe_tasks.errors import InputError, PlanError
from vibe_tasks.flow import progress
from vibe_tasks.jobs import NewJob
from vibe_tasks.labels import host_label, is_label, repo_label
from vibe_tasks.pipeline import JobKind
from vibe_tasks.plan import parse_plan
from vibe_tasks.tasks.options import check_options, labels_of, required_of
from vibe_tasks.workspace.remote import mirror_labels, open_mirror

labels = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:/=@+-]{0,20}", fullmatch=True)

PLAN = """\
version: 1
name: todo
agent: mine
agents: {mine: {type: command, argv: [python, agent.py]}}
defaults: {labels: {"lang:rust": 5}, required: [docker]}
tasks:
  - {id: plain, title: A}
  - {id: own, title: B, labels: {gpu: 2.5}, required: []}
"""


@given(st.dictionaries(labels, st.integers(-9, 9) | st.floats(-9, 9)), st.lists(labels))
def test_labels_and_points_are_taken_as_given(
    wished: dict[str, float], required: list[str]
) -> None:
    """What is required is put in order, each once; one alone may be a text."""
    check_options({"labels": wished, "required": required})
    assert labels_of({"labels": wished}) == wished
    assert required_of({"required": required}) == tuple(sorted(set(required)))
    assert [required_of({"required": each}) for each in required] == [(each,) for each in required]


@pytest.mark.parametrize(
    "wished", [["gpu"], "gpu", {"": 1}, {"a b": 1}, {1: 1}, {"gpu": "5"}, {"gpu": nan},
               {"gpu": -inf}, {"gpu": 1.7e308}, {"gpu": 10**400}, {"gpu": True}, {"gpu": None},
               {"gpu\n": 1}, {"a,b": 1}],
)  # fmt: skip
def test_wrong_labels_are_refused(wished: Any) -> None:
    """By the call and by the decorator."""
    with pytest.raises(InputError, match="label"):
        labels_of({"labels": wished})
    with pytest.raises(InputError, match="label"):
        job(labels=wished)


@pytest.mark.parametrize("required", [5, {"gpu": 1}, [""], ["a b"], [None], "a,b", "x" * 201])
def test_wrong_requirements_are_refused(required: Any) -> None:
    """By the call and by the decorator."""
    with pytest.raises(InputError, match="label"):
        required_of({"required": required})
    with pytest.raises(InputError, match="label"):
        job(required=required)


def test_a_call_says_otherwise_than_its_decorator() -> None:
    """What the call leaves out is the decorator's; empty is not left out."""

    @job(labels={"gpu": 5}, required="docker")
    def build() -> None:
        """Nothing."""

    plain = build.new_job((), {}, None, {})
    assert (dict(plain.labels), plain.required) == ({"gpu": 5}, ("docker",))
    other = build.new_job((), {}, None, {"labels": {"ssd": 1}, "required": []})
    assert (dict(other.labels), other.required) == ({"ssd": 1}, ())


def asks(row: dict[str, Any], kind: JobKind) -> tuple[dict[str, float], tuple[str, ...]]:
    """What a plan's job of this kind says about its worker."""
    made = progress.new_job(row, kind, commit="c")
    return dict(made.labels), made.required


def test_one_label_alone_may_be_a_text_everywhere() -> None:
    """In a plan, at a decorator, and in a call."""
    plan = parse_plan(PLAN.replace("[docker]", "docker"), file="plan.yaml")
    assert plan.resolved(plan.task("plain")).required == ("docker",)
    assert required_of({"required": "docker"}) == ("docker",)


def test_a_tasks_labels_are_those_of_the_jobs_that_work_on_its_files() -> None:
    """A deploy asks for the repository alone, and so do they all beside the rest."""
    plan = parse_plan(PLAN, file="plan.yaml")
    plain, own = (plan.resolved(plan.task(name)) for name in ("plain", "own"))
    assert (plain.labels, plain.required) == ({"lang:rust": 5}, ("docker",))
    assert (own.labels, own.required) == ({"gpu": 2.5}, ())
    spec = {
        **plain.to_json(), "labels": dict(plain.labels), "required": list(plain.required),
        "repo_label": "repo:0a1b2c3d",
    }  # fmt: skip
    row = {"spec": spec, "plan_id": "p", "id": "plain"}
    for kind in (JobKind.DEV, JobKind.FIX, JobKind.QA):
        assert asks(row, kind) == ({"lang:rust": 5, "repo:0a1b2c3d": 15}, ("docker",))
    assert asks(row, JobKind.DEPLOY) == ({"repo:0a1b2c3d": 15}, ())
    before = {key: spec[key] for key in spec.keys() - {"labels", "required", "repo_label"}}
    assert asks({**row, "spec": before}, JobKind.DEV) == ({}, ()), "a plan of an earlier version"


@pytest.mark.parametrize(
    ("old", "new", "key", "message"),
    [
        ('"lang:rust": 5', '"lang:rust": fast', "defaults.labels['lang:rust']", "a number"),
        ('"lang:rust": 5', '"lang rust": 5', "defaults.labels['lang rust']", "must be a label"),
        ('"lang:rust": 5', "gpu: .inf", "defaults.labels.gpu", "number"),
        ("[docker]", "[docker, a b]", "defaults.required[1]", "must be a label"),
        ("[docker]", "{docker: 1}", "defaults.required", "must be a list"),
        ("[docker]", "a b", "defaults.required[0]", "must be a label"),
        ("{gpu: 2.5}", "[gpu]", "tasks[1].labels", "must be a mapping"),
        ("required: []", "requires: []", "tasks[1].requires", "did you mean 'required'?"),
    ],
)
def test_a_plan_with_wrong_labels_is_refused(old: str, new: str, key: str, message: str) -> None:
    """With file, line and key."""
    with pytest.raises(PlanError) as caught:
        parse_plan(PLAN.replace(old, new), file="plan.yaml")
    assert caught.value.key == key
    assert caught.value.line == (8 if key.startswith("tasks") else 5)
    assert message in str(caught.value)


def test_a_host_has_labels_for_itself_and_the_repositories_that_it_has(tmp_path: Path) -> None:
    """The label of an address is that of its mirror; it shows no password."""
    folder = tmp_path / "repositories"
    assert mirror_labels(folder) == frozenset()
    address = "https://me:secret@example.org/todo.git"
    open_mirror(address, folder)
    (folder / "notes").mkdir()
    assert mirror_labels(folder) == {repo_label(address)}
    assert "secret" not in repo_label(address)
    assert is_label(repo_label(address))
    assert is_label(host_label("build-3.example.org"))


@pytest.mark.parametrize("asks", [{"required": "gpu"}, {"required": ("a b",)}, {"labels": {"": 1}}])
def test_a_job_with_wrong_labels_is_not_made(asks: dict[str, Any]) -> None:
    """However it is made: `JobQueue.submit` takes a job's fields as they are."""
    with pytest.raises(InputError, match="label"):
        NewJob(id="a", name="n", lane="code", **asks)
