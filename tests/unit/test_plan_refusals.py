"""What a plan file may not say, and what the user reads then."""

from __future__ import annotations

import pytest

from vibe_tasks.errors import InputError, PlanError
from vibe_tasks.plan import parse_plan

HEAD = """\
version: 1
name: todo
agent: mine
agents: {mine: {type: command, argv: [python, agent.py]}}
"""
TASKS = HEAD + "tasks:\n"
ONE = TASKS + "  - id: a\n    title: A\n"  # lines 6 and 7
BOMB = "".join(f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]\n" for n in range(1, 12))
MERGES = "".join(f"x{n}: &x{n} {{<<: [*x{n - 1}, *x{n - 1}]}}\n" for n in range(1, 35))


def refused(text: str) -> PlanError:
    """Return the refusal of a text; a line for each mistake, all of them naming the file."""
    with pytest.raises(PlanError) as caught:
        parse_plan(text, file="plan.yaml")
    assert all(line.startswith("plan.yaml:") for line in str(caught.value).split("\n"))
    return caught.value


BROKEN = {
    # the text
    "not YAML": (HEAD + "tasks: [\n", 5, "", "not valid YAML: "),
    "tab": (TASKS + "\t- id: a\n", 6, "", "indent with spaces, not tabs"),
    "undefined alias": (HEAD + "tasks: *none\n", 5, "", "found undefined alias"),
    "empty": ("", 1, "", "the file is empty"),
    "only a comment": ("# later\n", 1, "", "the file is empty"),
    "a list": ("- a\n", 1, "", "must be a mapping with version, name and tasks"),
    "a word": ("plan\n", 1, "", "must be a mapping with version, name and tasks"),
    "two documents": (ONE + "---\n" + ONE, 8, "", "expected a single document"),
    "control character": (ONE + "    prompt: \x07\n", 8, "", "character U+0007 is not allowed"),
    "escaped zero": (ONE + '    prompt: "\\0"\n', 8, "tasks[0].prompt", "a zero character"),
    "lone surrogate": (ONE + "    prompt: \ud800\n", 8, "", "character U+D800"),
    "too large": ("# " + "x" * 5_000_000, None, "", "larger than 5,000,000 bytes"),
    "too many values": ("tasks: [" + "1," * 300_000 + "]", 1, "", "more than 300,000 values"),
    "too deep": (HEAD + "tasks: " + "[" * 5_000, 5, "", "nested more than 40 levels deep"),
    "alias of itself": (HEAD + "tasks: &t [*t]\n", 5, None, "nested more than 40 levels"),
    "merge of itself": (TASKS + "  - &t\n    <<: *t\n", None, None, "nested more than 40"),
    "alias bomb": ("x0: &x0 [1]\n" + BOMB, None, None, "aliases unfold into too many values"),
    "merge bomb": ("x0: &x0 {a: 1}\n" + MERGES, None, None, "aliases unfold into too many"),
    "merged text": (TASKS + "  - <<: store\n", 6, "tasks[0]['<<']", "only mappings can be merged"),
    "tag": (ONE + "    effort: !!python/name:os.system 3\n", 8, "tasks[0].effort", "tag "),
    "key that is a list": (ONE + "    ? [a, b]\n    : 1\n", 8, "tasks[0]", "a key must be text"),
    # keys
    "unknown key": (ONE + "retries: 3\n", 8, "retries", "unknown key"),
    "unknown task key": (
        ONE + "    promt: do\n",
        8,
        "tasks[0].promt",
        "unknown key, did you mean 'prompt'?",
    ),
    "unknown qa key": (
        ONE + "qa:\n  check: [a]\n",
        9,
        "qa.check",
        "unknown key, did you mean 'checks'?",
    ),
    "unknown key of an agent": (
        ONE.replace("argv", "time_out: 3, argv"),
        4,
        "agents.mine.time_out",
        "unknown key, did you mean 'timeout'?",
    ),
    "unknown key without value": (ONE + "titel:\n", 8, "titel", "unknown key"),
    "unknown default": (
        ONE + "defaults:\n  efort: 2\n",
        9,
        "defaults.efort",
        "did you mean 'effort'?",
    ),
    "duplicate key": (ONE + "    title: B\n", 8, "tasks[0].title", "given twice, first on line 7"),
    "duplicate top key": (ONE + "name: other\n", 8, "name", "given twice, first on line 2"),
    "duplicate key in JSON": (
        '{"version": 1,\n "name": "a",\n "name": "b"}',
        3,
        "name",
        "given twice",
    ),
    # version, name, repo
    "no version": (ONE.replace("version: 1\n", ""), 1, "version", "is missing"),
    "another version": (
        ONE.replace("version: 1", "version: 2"),
        1,
        "version",
        "must be 1, the only version that this program reads, got 2",
    ),
    "version in words": (
        ONE.replace("version: 1", "version: one"),
        1,
        "version",
        "must be a whole number, got 'one'",
    ),
    "no name": (ONE.replace("name: todo\n", ""), 1, "name", "is missing"),
    "bad name": (ONE.replace("name: todo", "name: To do"), 2, "name", "got 'To do'"),
    "name with a slash": (ONE.replace("name: todo", "name: a/b"), 2, "name", "got 'a/b'"),
    "long name": (ONE.replace("name: todo", f"name: {'n' * 101}"), 2, "name", "at most 100"),
    "name with a line end": (ONE.replace("name: todo", 'name: "todo\\n"'), 2, "name", "got"),
    "option as base": (ONE + "base: --all\n", 8, "base", "must not begin with `-`"),
    "option as repo": (ONE + "repo: -u\n", 8, "repo", "must not begin with `-`"),
    # agents
    "unknown default agent": (
        ONE.replace("agent: mine", "agent: mien"),
        3,
        "agent",
        "no agent is called 'mien', did you mean 'mine'?",
    ),
    "unknown agent of a task": (
        ONE + "    agent: claud\n",
        8,
        "tasks[0].agent",
        "no agent is called 'claud'",
    ),
    "unknown reviewer": (
        ONE + "qa:\n  reviewers:\n    - mine\n    - Mine\n",
        11,
        "qa.reviewers[1]",
        "no agent is called 'Mine', did you mean 'mine'?",
    ),
    "no agent at all": (
        ONE.replace("agent: mine\n", ""),
        5,
        "tasks[0].agent",
        "task 'a' has no agent",
    ),
    "agent without type": (
        ONE.replace("type: command, ", ""),
        4,
        "agents.mine.type",
        "is missing; one of command, chat, recorded",
    ),
    "unknown type": (
        ONE.replace("type: command", "type: comand"),
        4,
        "agents.mine.type",
        "must be one of command, chat, recorded, got 'comand', did you mean 'command'?",
    ),
    "agent that is text": (
        ONE.replace("{type: command, argv: [python, agent.py]}", "claude"),
        4,
        "agents.mine",
        "must be a mapping",
    ),
    "agent without value": (
        ONE.replace("{type: command, argv: [python, agent.py]}", ""),
        4,
        "agents.mine",
        "must be a mapping, got nothing",
    ),
    "agent with a bad name": (
        ONE.replace("mine: {", "my own: {"),
        4,
        "agents['my own']",
        "must be 1 to 100 of",
    ),
    "no argv": (
        ONE.replace(", argv: [python, agent.py]", ""),
        4,
        "agents.mine",
        "`argv` or `preset`",
    ),
    "empty argv": (
        ONE.replace("[python, agent.py]", "[]"),
        4,
        "agents.mine",
        "must begin with a program",
    ),
    "empty program": (
        ONE.replace("[python, agent.py]", "['']"),
        4,
        "agents.mine",
        "must begin with a program",
    ),
    "argv that is text": (
        ONE.replace("[python, agent.py]", "python agent.py"),
        4,
        "agents.mine.argv",
        "must be a list, got 'python agent.py'",
    ),
    "argv and preset": (
        ONE.replace("argv:", "preset: claude, argv:"),
        4,
        "agents.mine",
        "and not both",
    ),
    "unknown preset": (
        ONE.replace("argv: [python, agent.py]", "preset: cloude"),
        4,
        "agents.mine.preset",
        "got 'cloude', did you mean 'claude'?",
    ),
    "no timeout": (
        ONE.replace("argv:", "timeout: 0, argv:"),
        4,
        "agents.mine.timeout",
        "must be more than 0",
    ),
    "endless timeout": (
        ONE.replace("argv:", "timeout: 1.0e+99, argv:"),
        4,
        "agents.mine.timeout",
        "must be 604800.0 or less",
    ),
    "timeout with a unit": (
        ONE.replace("argv:", "timeout: 10m, argv:"),
        4,
        "agents.mine.timeout",
        "must be a number, got '10m'",
    ),
    "timeout as a clock": (
        ONE.replace("argv:", "timeout: 10:30, argv:"),
        4,
        "agents.mine.timeout",
        "must be a number, got '10:30'",
    ),
    "chat without model": (
        ONE.replace("command, argv: [python, agent.py]", "chat"),
        4,
        "agents.mine.model",
        "is missing",
    ),
    "chat elsewhere": (
        ONE.replace("command, argv: [python, agent.py]", "chat, model: m, base_url: 'file:///x'"),
        4,
        "agents.mine.base_url",
        "must begin with http:// or https://",
    ),
    "recorded without path": (
        ONE.replace("command, argv: [python, agent.py]", "recorded"),
        4,
        "agents.mine.path",
        "is missing",
    ),
    # tasks
    "no tasks": (HEAD, 1, "tasks", "is missing"),
    "tasks without value": (TASKS, 5, "tasks", "is missing"),
    "empty tasks": (HEAD + "tasks: []\n", 5, "tasks", "must hold at least one task"),
    "tasks by name": (TASKS + "  a: {title: A}\n", 5, "tasks", "must be a list, got a mapping"),
    "task that is text": (TASKS + "  - write it\n", 6, "tasks[0]", "must be a mapping"),
    "no id": (TASKS + "  - title: A\n", 6, "tasks[0].id", "is missing"),
    "dot as id": (TASKS + "  - {id: ., title: A}\n", 6, "tasks[0].id", "not `.` or `..`"),
    "dots as id": (TASKS + "  - {id: .., title: A}\n", 6, "tasks[0].id", "not `.` or `..`"),
    "id with a slash": (TASKS + "  - {id: a/b, title: A}\n", 6, "tasks[0].id", "got 'a/b'"),
    "long id": (TASKS + f"  - {{id: {'i' * 101}, title: A}}\n", 6, "tasks[0].id", "1 to 100"),
    "id twice": (
        ONE + "  - id: a\n    title: B\n",
        8,
        "tasks[1].id",
        "id 'a' is also the id of tasks[0]",
    ),
    "id in another case": (
        ONE + "  - title: B\n    id: A\n",
        9,
        "tasks[1].id",
        "id 'A' differs only in case from 'a', the id of tasks[0]",
    ),
    "nothing to do": (TASKS + "  - id: a\n", 6, "tasks[0]", "needs a `title` or a `prompt`"),
    "blank title": (TASKS + "  - {id: a, title: ' '}\n", 6, "tasks[0]", "`title` or a `prompt`"),
    "title that is a list": (
        TASKS + "  - id: a\n    title: [A]\n",
        7,
        "tasks[0].title",
        "must be text, got a list",
    ),
    "needs that is text": (ONE + "    needs: b\n", 8, "tasks[0].needs", "must be a list, got 'b'"),
    "needs nobody": (
        ONE + "  - id: b\n    title: B\n    needs:\n      - a\n      - aa.\n",
        12,
        "tasks[1].needs[1]",
        "no task has the id 'aa.'",
    ),
    "needs a near miss": (
        ONE.replace("id: a\n", "id: store\n") + "  - {id: b, title: B, needs: [stroe]}\n",
        8,
        "tasks[1].needs[0]",
        "no task has the id 'stroe', did you mean 'store'?",
    ),
    "needs itself": (ONE + "    needs: [a]\n", 8, "tasks[0].needs[0]", "task 'a' needs itself"),
    "needs twice": (
        ONE + "  - {id: b, title: B, needs: [a, a]}\n",
        8,
        "tasks[1].needs[1]",
        "task 'a' is named twice",
    ),
    "cycle": (
        ONE + "    needs: [c]\n  - {id: b, title: B, needs: [a]}\n"
        "  - {id: c, title: C, needs: [b]}\n",
        8,
        "tasks[0].needs[0]",
        "tasks need each other: a → c → b → a",
    ),
    "path upwards": (
        ONE + "    files: [a.py, ../b.py]\n",
        8,
        "tasks[0].files[1]",
        "must be a path inside the repository, got '../b.py'",
    ),
    "path down and out": (
        ONE + "    files: [a/../../b.py]\n",
        8,
        "tasks[0].files[0]",
        "inside the repository",
    ),
    "absolute path": (
        ONE + "    files:\n      - /etc/passwd\n",
        9,
        "tasks[0].files[0]",
        "inside the repository",
    ),
    "path at home": (ONE + "    files: [~/x]\n", 8, "tasks[0].files[0]", "inside the repository"),
    "path on a drive": (
        ONE + "    files: ['C:\\x']\n",
        8,
        "tasks[0].files[0]",
        "inside the repository",
    ),
    "path in .git": (ONE + "    files: [.git/x]\n", 8, "tasks[0].files[0]", "inside .git"),
    "empty path": (ONE + "    files: ['']\n", 8, "tasks[0].files[0]", "must not be empty"),
    "unknown priority": (
        ONE + "    priority: hihg\n",
        8,
        "tasks[0].priority",
        "must be one of auto, critical, high, normal, low, got 'hihg', did you mean 'high'?",
    ),
    "priority of fixes": (ONE + "    priority: fix\n", 8, "tasks[0].priority", "one of auto"),
    "no effort": (ONE + "    effort: 0\n", 8, "tasks[0].effort", "must be 1 or more, got 0"),
    "much effort": (ONE + "    effort: 6\n", 8, "tasks[0].effort", "must be 5 or less, got 6"),
    "half an effort": (
        ONE + "    effort: 2.5\n",
        8,
        "tasks[0].effort",
        "must be a whole number, got 2.5",
    ),
    "effort in quotes": (
        ONE + "    effort: '3'\n",
        8,
        "tasks[0].effort",
        "must be a whole number, got '3'",
    ),
    "effort yes": (ONE + "    effort: yes\n", 8, "tasks[0].effort", "whole number, got 'yes'"),
    "effort with underscore": (ONE + "    effort: 0_3\n", 8, "tasks[0].effort", "whole number"),
    "endless digits": (
        ONE + f"    effort: {'9' * 5000}\n",
        8,
        "tasks[0].effort",
        "must be a whole number",
    ),
    "negative retries": (
        ONE + "    max_retries: -1\n",
        8,
        "tasks[0].max_retries",
        "must be 0 or more, got -1",
    ),
    "not a number": (ONE + "    retry_base: .nan\n", 8, "tasks[0].retry_base", "must be a finite"),
    "nan": (ONE + "    retry_base: nan\n", 8, "tasks[0].retry_base", "must be a number"),
    "infinity": (ONE + "    retry_base: -.inf\n", 8, "tasks[0].retry_base", "must be a finite"),
    "overflow": (
        ONE + "    retry_base: 1e999\n",
        8,
        "tasks[0].retry_base",
        "must be a finite number",
    ),
    "negative wait": (ONE + "    retry_base: -0.5\n", 8, "tasks[0].retry_base", "0 or more"),
    "own queue as lane": (ONE + "    lane: worker.x\n", 8, "tasks[0].lane", "begin with `worker.`"),
    "bad lane": (ONE + "    lane: a b\n", 8, "tasks[0].lane", "got 'a b'"),
    "check that is text": (ONE + "    checks: pytest\n", 8, "tasks[0].checks", "must be a list"),
    "empty check": (ONE + "    checks: ['']\n", 8, "tasks[0].checks[0]", "must not be empty"),
    "check that is nothing": (
        ONE + "    checks:\n      -\n",
        9,
        "tasks[0].checks[0]",
        "must be text, got nothing",
    ),
    # the rest
    "unknown approval": (
        ONE + "deploy: {approval: maybe}\n",
        8,
        "deploy.approval",
        "must be one of auto, manual, got 'maybe'",
    ),
    "qa that is a list": (ONE + "qa: [pytest]\n", 8, "qa", "must be a mapping, got a list"),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_plan_is_refused_with_file_line_and_key(broken):
    """Whatever is wrong, the user reads the file, the line, the key and what to do."""
    text, line, key, message = broken
    error = refused(text)
    assert error.file == "plan.yaml"
    assert message in str(error)
    if line is not None:
        assert error.line == line
        assert str(error).startswith(f"plan.yaml:{line}: ")
    if key is not None:
        assert error.key == key


def test_every_problem_has_its_line():
    """By line in the file, after the unknown keys: those explain what is missing."""
    text = TASKS + "  - {id: a, titel: A}\n  - {id: b, title: B, effort: 9, lane: '!'}\n  - 3\n"
    error = refused(text.replace("name: todo", "nmae: todo"))
    lines = str(error).split("\n")
    assert [line[: len("plan.yaml:2: nmae")] for line in lines[:2]] == [
        "plan.yaml:2: nmae", "plan.yaml:6: task",
    ]  # fmt: skip
    assert "did you mean 'name'" in lines[0]
    assert "titel: unknown key" in lines[1]
    assert "plan.yaml:1: name: is missing" in lines[2]
    assert [line.split(": ")[0] for line in lines[2:]] == [
        f"plan.yaml:{line}" for line in (1, 7, 7, 8)
    ]
    assert error.key == "nmae"


def test_a_value_is_shown_short_and_on_one_line():
    """A huge or many-lined value does not flood the message."""
    error = refused(ONE.replace("name: todo", f"name: |\n  A\n  {'b' * 10_000}"))
    assert len(str(error)) < 300


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("api_key_env", "sk-very-secret"),
        ("base_url", "'https://me:very-secret@host/v1'"),
        ("base_url", "'https://very-secret@host'"),
        ("base_url", "'me:very-secret@host/v1'"),
    ],
)
def test_a_key_in_the_wrong_place_is_not_printed(key: str, value: str):
    """A key written where its variable's name belongs, or in an address, does not reach a log."""
    agent = f"chat, model: m, {key}: {value}"
    error = refused(ONE.replace("command, argv: [python, agent.py]", agent))
    assert error.key == f"agents.mine.{key}"
    assert "secret" not in str(error)


def test_our_own_settings_cannot_be_asked_for():
    """A plan that wants the ledger's password for its agent is refused, not ignored."""
    agent = "command, argv: [python, agent.py], env: [A_KEY, VIBE_DATABASE_URL]"
    error = refused(ONE.replace("command, argv: [python, agent.py]", agent))
    assert error.key == "agents.mine.env[1]"


def test_a_merged_key_is_blamed_where_it_stands():
    """What comes in by `<<` is reported on its own line, not on the merge's."""
    text = TASKS + "  - &first\n    id: a\n    title: A\n    effort: 9\n  - <<: *first\n    id: b\n"
    assert refused(text).line == 9


def test_a_long_cycle_is_cut_short():
    """A cycle through thousands of tasks is named by its beginning."""
    count = 3_000
    rows = [f"  - {{id: t{n}, title: T, needs: [t{(n + 1) % count}]}}\n" for n in range(count)]
    error = refused(TASKS + "".join(rows))
    assert "t0 → t1 → " in str(error)
    assert "… 2990 more … → t0" in str(error)


def test_a_plan_full_of_mistakes_is_refused_soon():
    """Near misses are looked for once, not for each of thousands of wrong words."""
    rows = [f"  - {{id: t{n}, title: T, needs: [u{n}]}}\n" for n in range(2_000)]
    assert "and 1970 more" in str(refused(TASKS + "".join(rows)))


def test_an_unknown_agent_is_refused_when_chosen():
    """`--agent` with a name that the plan does not define is bad input."""
    plan = parse_plan(ONE, file="plan.yaml")
    with pytest.raises(InputError, match="no agent is called 'main', did you mean 'mine'"):
        plan.with_agent("main")
