"""What a plan file means."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vibe_tasks.errors import PlanError
from vibe_tasks.plan import ChatSpec, CommandSpec, Plan, RecordedSpec, parse_plan
from vibe_tasks.plan_graph import find_cycle
from vibe_tasks.plan_text import Plain
from vibe_tasks.priority import Priority

EXAMPLE = """\
version: 1
name: todo-api                 # [a-z0-9][a-z0-9-]*; the result is the branch vibe/<name>
repo: .                        # path (relative to this file) or git URL
base: main                     # start here; default: the repository's current branch
agent: mine                    # default agent for dev and fix jobs
agents:
  mine:   {type: command, argv: [python, "{plan_dir}/agent.py"], timeout: 600}
  claude: {type: command, preset: claude}
  local:  {type: chat, model: "openai:qwen2.5-coder", base_url: "http://127.0.0.1:11434/v1", api_key_env: LLM_KEY}
  taped:  {type: recorded, path: recordings}
qa:
  checks: ["python -m pytest -q"]   # each must exit 0; run in the task's worktree
  reviewers: [claude, local, claude]  # optional: agents that vote (consensus)
  timeout: 300                 # seconds for one check
deploy: {approval: auto}       # or manual; optional `command:` runs after the merge
defaults: {lane: code, effort: 2, max_retries: 3, max_fix_rounds: 3, retry_base: 1.0}
tasks:
  - id: store                  # [A-Za-z0-9._-]+, unique
    title: Store to-do items
    prompt: |
      Write todo/store.py ...
    files: [todo/store.py]     # what the task is about; drives its priority
    needs: []                  # ids of tasks that must be deployed first
    priority: auto             # auto | critical | high | normal | low
    effort: 3                  # 1..5
    agent: mine                # this and lane, checks, max_retries … override the defaults
    checks: ["python -m pytest -q tests/test_store.py"]
"""  # noqa: E501 - as the documents print it

HEAD = """\
version: 1
name: todo
agent: mine
agents: {mine: {type: command, argv: [python, agent.py]}}
"""


def plan_of(text: str) -> Plan:
    return parse_plan(text, file="plan.yaml")


def task_of(lines: str) -> object:
    """Return the only task of a plan whose task has these lines besides an id."""
    return plan_of(HEAD + f"tasks:\n  - id: a\n    {lines}\n").tasks[0]


def plan_text(graph: dict[str, list[str]]) -> str:
    rows = [f"  - {{id: {node}, title: T, needs: [{', '.join(graph[node])}]}}\n" for node in graph]
    return HEAD + "tasks:\n" + "".join(rows)


def test_the_documented_example_is_a_plan():
    """Every line of the documented plan file is understood, agents of all types included."""
    plan = plan_of(EXAMPLE)
    assert (plan.version, plan.name, plan.repo, plan.base) == (1, "todo-api", ".", "main")
    assert plan.agents == {
        "mine": CommandSpec(argv=("python", "{plan_dir}/agent.py"), timeout=600.0),
        "claude": CommandSpec(preset="claude"),
        "local": ChatSpec(
            model="openai:qwen2.5-coder",
            base_url="http://127.0.0.1:11434/v1",
            api_key_env="LLM_KEY",
        ),
        "taped": RecordedSpec(path="recordings"),
    }
    assert plan.qa.reviewers == ("claude", "local", "claude")
    assert plan.deploy.approval == "auto"
    [task] = plan.tasks
    assert task.prompt == "Write todo/store.py ...\n"
    assert plan.agent_of(task) == plan.agents["mine"]


def test_json_says_the_same_as_yaml():
    """A plan may be written as JSON, with its escapes beyond the basic plane."""
    plan = plan_of(EXAMPLE)
    values = plan.model_dump(mode="json", exclude_none=True)
    assert plan_of(json.dumps(values, indent="\t")).digest() == plan.digest()
    values["tasks"][0]["title"] = 'a "🙂" \\ud83d\\ude42 \\🙂'
    assert plan_of(json.dumps(values)).tasks[0].title == 'a "🙂" \\ud83d\\ude42 \\🙂'


def test_a_plan_survives_its_own_json():
    """The ledger keeps plans as JSON; what comes back is equal."""
    plan = plan_of(EXAMPLE)
    assert Plan.model_validate_json(plan.model_dump_json()) == plan


def test_defaults_fill_what_a_task_leaves_out():
    """A task without anything gets the plan's defaults and the plan's checks."""
    text = HEAD + "qa: {checks: [make]}\ndefaults: {lane: slow, effort: 5, max_retries: 7}\n"
    plan = plan_of(text + "tasks:\n  - {id: a, title: A}\n")
    resolved = plan.resolved(plan.tasks[0])
    assert (resolved.lane, resolved.effort, resolved.max_retries) == ("slow", 5, 7)
    assert (resolved.max_fix_rounds, resolved.retry_base) == (3, 1.0)
    assert (resolved.checks, resolved.agent) == (("make",), "mine")
    assert resolved.priority is Priority.NORMAL


def test_a_task_overrides_the_defaults():
    """What a task says wins, also when it says zero or nothing at all."""
    text = HEAD + "qa: {checks: [make]}\ntasks:\n  - {id: a, title: A, checks: [], lane: other,"
    plan = plan_of(text + " max_retries: 0, max_fix_rounds: 0, retry_base: 0}\n")
    resolved = plan.resolved(plan.tasks[0])
    assert resolved.checks == ()
    assert (resolved.lane, resolved.max_retries, resolved.max_fix_rounds) == ("other", 0, 0)
    assert resolved.retry_base == 0.0


@pytest.mark.parametrize(
    ("lines", "priority"),
    [
        ("title: A", Priority.NORMAL),
        ("files: [main.py, tests/test_main.py]\n    title: A", Priority.CRITICAL),
        ("files: [main.py]\n    priority: low\n    title: A", Priority.LOW),
        ("files: [docs/x.txt]\n    title: A", Priority.LOW),
    ],
)
def test_priority_comes_from_the_files_unless_it_is_given(lines, priority):
    """`auto` looks at the files; a stated priority is kept."""
    plan = plan_of(HEAD + f"tasks:\n  - id: a\n    {lines}\n")
    assert plan.resolved(plan.tasks[0]).priority is priority


def test_a_resolved_task_is_plain_json():
    """Agents get the task as JSON values, the priority by name."""
    plan = plan_of(EXAMPLE)
    values = plan.resolved(plan.tasks[0]).to_json()
    assert json.loads(json.dumps(values)) == values
    assert values["priority"] == "normal"
    assert values["files"] == ["todo/store.py"]


@pytest.mark.parametrize(
    "written", ["no", "on", "Yes", "1.0", "007", "1_0", "12:30", "2024-01-01", "0x10", "1e3", "="]
)
def test_text_without_quotes_is_the_text_written(written):
    """YAML 1.1 would read bools, dates and numbers where the user wrote a word."""
    assert task_of(f"title: {written}").title == written
    assert type(task_of(f"title: {written}").title) is str
    assert task_of(f"checks: [{written}]\n    title: A").checks == (written,)


def test_ids_without_quotes_are_the_text_written():
    """Tasks 1.0 and 1.00 are two tasks, and needs find them."""
    text = "tasks:\n  - {id: 1.0, title: A}\n  - {id: 1.00, title: B, needs: [1.0]}\n"
    assert [task.id for task in plan_of(HEAD + text).order()] == ["1.0", "1.00"]


@pytest.mark.parametrize(
    ("written", "value"), [("3", 3.0), ("0.5", 0.5), (".5", 0.5), ("1e2", 100.0), ("007", 7.0)]
)
def test_numbers_are_decimal(written, value):
    """Numbers are read as people write them; a leading zero does not mean octal."""
    assert task_of(f"retry_base: {written}\n    title: A").retry_base == value


def test_a_key_without_value_counts_as_not_given():
    """`needs:` with nothing behind it is the empty list, not an error."""
    task = task_of("title: A\n    needs:\n    effort: ~\n    agent: null")
    assert (task.needs, task.effort, task.agent) == ((), None, None)


def test_anchors_and_merges_are_allowed():
    """Tasks may share lines; a task's own keys win over merged ones, the first merged wins."""
    text = """\
tasks:
  - &first
    id: a
    title: A
    checks: &checks [make]
    effort: 4
  - &second {id: b, title: B, checks: *checks, max_retries: 9}
  - <<: [*first, *second]
    id: c
"""
    first, _, third = plan_of(HEAD + text).tasks
    assert first.checks == ("make",)
    assert (third.id, third.title, third.effort, third.max_retries) == ("c", "A", 4, 9)


def test_paths_inside_the_repository_are_accepted():
    """A path may go up and down as long as it stays inside."""
    files = ("a.py", "a/../b.py", "./c.py", "a b/ü.py", "..a/b..", ".github/x.yml")
    task = task_of(f"files: {json.dumps(files)}\n    title: A")
    assert task.files == files


def test_another_default_agent_leaves_tasks_with_their_own():
    """`--agent` changes the default only."""
    text = HEAD.replace("agents: {", "agents: {taped: {type: recorded, path: r}, ")
    plan = plan_of(text + "tasks:\n  - {id: a, title: A}\n  - {id: b, title: B, agent: mine}\n")
    changed = plan.with_agent("taped")
    assert [changed.resolved(task).agent for task in changed.tasks] == ["taped", "mine"]
    assert changed.agent_of(changed.task("a")) == RecordedSpec(path="r")


def test_a_plan_cannot_be_changed():
    """Plans are values; nobody edits one under another's hands."""
    with pytest.raises(ValueError, match="frozen"):
        plan_of(EXAMPLE).name = "other"


def test_the_digest_follows_the_meaning():
    """Comments and layout leave the digest alone; any value changes it."""
    plan = plan_of(EXAMPLE)
    assert plan_of("# hello\n" + EXAMPLE.replace("[]", "")).digest() == plan.digest()
    assert plan_of(EXAMPLE.replace("effort: 3", "effort: 4")).digest() != plan.digest()
    assert plan_of(EXAMPLE.replace("[todo/store.py]", "[todo/s.py]")).digest() != plan.digest()


def test_line_ends_and_a_byte_order_mark_do_not_matter():
    """A plan written on Windows is the same plan."""
    windows = "\ufeff" + EXAMPLE.replace("\n", "\r\n")
    assert plan_of(windows).digest() == plan_of(EXAMPLE).digest()
    with pytest.raises(PlanError) as caught:
        plan_of(windows.replace("effort: 3", "effort: 9"))
    assert caught.value.line == 25


def test_order_keeps_the_files_order_where_needs_leave_a_choice():
    """A person finds the tasks run as they wrote them down."""
    graph = {"c": [], "a": ["z"], "b": [], "z": []}
    assert [task.id for task in plan_of(plan_text(graph)).order()] == ["c", "b", "z", "a"]


@pytest.mark.parametrize("forward", [True, False])
def test_a_chain_of_5000_tasks_is_read(forward):
    """A long chain needs no recursion."""
    names = [f"t{number}" for number in range(5_000)]
    chain = {name: names[at - 1 : at] if at else [] for at, name in enumerate(names)}
    order = names if forward else names[::-1]
    plan = plan_of(plan_text({name: chain[name] for name in order}))
    assert [task.id for task in plan.order()] == names


@st.composite
def graphs(draw, *, acyclic: bool) -> dict[str, list[str]]:
    names = [f"t{number}" for number in draw(st.permutations(range(draw(st.integers(1, 10)))))]
    graph = {}
    for at, name in enumerate(names):
        choices = names[:at] if acyclic else [other for other in names if other != name]
        needs = st.lists(st.sampled_from(choices), unique=True) if choices else st.just([])
        graph[name] = draw(needs)
    return {name: graph[name] for name in draw(st.permutations(names))}


@given(graphs(acyclic=True))
@settings(max_examples=60, deadline=None)
def test_order_puts_every_task_after_its_needs(graph):
    """For any graph without cycles, order() is a topological order of all the tasks."""
    done: set[str] = set()
    for task in plan_of(plan_text(graph)).order():
        assert set(task.needs) <= done
        done.add(task.id)
    assert done == set(graph)


@given(graphs(acyclic=False))
@settings(max_examples=80, deadline=None)
def test_any_cycle_is_named(graph):
    """A plan is refused exactly when it has a cycle, and the message shows a real one."""
    text = plan_text(graph)
    if not find_cycle(graph):
        assert len(plan_of(text).order()) == len(graph)
        return
    with pytest.raises(PlanError, match="tasks need each other: ") as caught:
        plan_of(text)
    shown = str(caught.value).partition("each other: ")[2].split(" → ")
    assert shown[0] == shown[-1]
    for node, need in pairwise(shown):
        assert need in graph[node]


def refused_or_read(text: str) -> None:
    """Read the text; nothing but a PlanError may come out instead, each line with its place."""
    message = ""
    try:
        plan_of(text)
    except PlanError as error:
        message = str(error)
    assert all(line.startswith("plan.yaml") for line in message.splitlines())


@given(st.text())
@settings(max_examples=80, deadline=None)
def test_any_text_is_read_or_refused(text):
    """No text whatever makes the reader fail in another way."""
    refused_or_read(text)


@given(
    st.lists(st.sampled_from([*"[]{}:,-&*?!|>'\"%@`#~\n\t <", "a: ", "- ", "<<: ", "*a", "&a "]))
)
@settings(max_examples=100, deadline=None)
def test_any_heap_of_yaml_signs_is_read_or_refused(parts):
    """Nor does any heap of YAML's own signs."""
    refused_or_read("".join(parts))


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_any_changed_plan_is_read_or_refused(data):
    """Nor does a sound plan in which some pieces were cut out, doubled or put elsewhere."""
    text = EXAMPLE
    for _ in range(data.draw(st.integers(1, 4))):
        start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(text))] * 2)))
        end = min(end, start + 60)
        piece = data.draw(
            st.sampled_from(["", text[start:end] * 2, "null", "[]", "{}", "1", "*x", "<<: "])
            | st.text(max_size=5)
        )
        text = text[:start] + piece + text[end:]
    refused_or_read(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_any_value_in_any_place_is_read_or_refused(data):
    """Nor does a plan in which one value is something else, key by key."""
    values = plan_of(EXAMPLE).model_dump(mode="json", exclude_none=True)
    place = values
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        below = place[key]
        if not (isinstance(below, dict | list) and below and data.draw(st.booleans())):
            break
        place = below
    place[key] = data.draw(JSON)
    refused_or_read(json.dumps(values))


def test_plain_scalars_show_as_the_user_wrote_them():
    """In a message a number has no quotes and a word has."""
    assert (repr(Plain("6")), repr(Plain("six"))) == ("6", "'six'")


def test_the_shipped_examples_are_plans():
    """Each example plan in the repository is accepted."""
    folder = Path(__file__).resolve().parents[2] / "examples"
    for path in sorted(folder.glob("*/plan.yaml")):
        assert parse_plan(path.read_text(encoding="utf-8"), file=str(path)).tasks
