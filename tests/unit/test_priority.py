"""How urgent a job is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibe_tasks.priority import (
    Priority,
    PriorityAssigner,
    explain_priority,
    parse_priority,
    priority_of_files,
    raised,
)

CRITICAL, HIGH, NORMAL, LOW = Priority.CRITICAL, Priority.HIGH, Priority.NORMAL, Priority.LOW


def test_lower_is_sooner():
    """The scale is 0 to 4, fixes first, as in Redis."""
    names = ["FIX", "CRITICAL", "HIGH", "NORMAL", "LOW"]
    assert [(level.name, level.value) for level in sorted(Priority)] == list(
        zip(names, range(5), strict=True)
    )


@pytest.mark.parametrize("level", Priority)
def test_a_priority_is_read_by_name_and_number(level):
    """Names in any case, numbers and priorities themselves are read."""
    for value in (level, level.value, level.name, level.name.lower(), level.name.title()):
        assert parse_priority(value) is level


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("hgih", "did you mean 'high'"),
        ("Criticl", "did you mean 'critical'"),
        ("auto", "one of fix, critical, high, normal, low"),
        ("", "got ''"),
        (5, "from 0 to 4, got 5"),
        (-1, "got -1"),
        (True, "got True"),
        (1.0, "got 1.0"),
        (None, "got None"),
    ],
)
def test_another_priority_is_refused(value, message):
    """The refusal shows the value and the near miss."""
    with pytest.raises(ValueError, match="priority must be") as caught:
        parse_priority(value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("path", "level"),
    [
        # the words of phase-1.6-components
        ("main.py", CRITICAL),
        ("app/config.yaml", CRITICAL),
        ("pkg/__init__.py", CRITICAL),
        ("pkg/__main__.py", CRITICAL),
        ("src/core/engine.py", CRITICAL),
        ("core.py", CRITICAL),
        ("models.py", HIGH),
        ("app/models/user.py", HIGH),
        ("schemas/todo.json", HIGH),
        ("database.py", HIGH),
        ("auth/login.py", HIGH),
        ("services/mail.py", NORMAL),
        ("api/routes.py", NORMAL),
        ("tests/test_store.py", LOW),
        ("docs/guide.txt", LOW),
        ("examples/hello.py", LOW),
        # a test of main is a test, and prose about config is prose
        ("tests/test_main.py", LOW),
        ("main_test.go", LOW),
        ("tests/__init__.py", LOW),
        ("docs/config.html", LOW),
        ("config.md", LOW),
        # whole words only
        ("authors.py", NORMAL),
        ("domain.py", NORMAL),
        ("score.py", NORMAL),
        ("latest.py", NORMAL),
        ("remodel.py", NORMAL),
        ("initial.py", NORMAL),
        # camel case, other separators, other systems
        ("src/UserModel.ts", HIGH),
        ("AuthAPI.java", HIGH),
        ("app-config.json", CRITICAL),
        ("TestUser.java", LOW),
        ("pkg\\__init__.py", CRITICAL),
        # Maven's src/main says nothing about the file
        ("src/main/java/Mail.java", NORMAL),
        ("", NORMAL),
    ],
)
def test_a_files_name_tells_its_priority(path, level):
    """The words of requirement P1 decide, as whole words of the path."""
    assert priority_of_files([path]) is level


def test_no_files_are_normal():
    """Where nothing is known nothing is urgent."""
    assert priority_of_files([]) is NORMAL


@given(st.lists(st.sampled_from(["main.py", "models.py", "x.py", "tests/x.py"]), min_size=1))
def test_the_most_urgent_file_decides(files):
    """A task about several files is as urgent as the most urgent of them."""
    assert priority_of_files(files) == min(priority_of_files([path]) for path in files)


@given(st.lists(st.text()))
def test_any_path_has_a_priority(files):
    """No name is too strange, and fixes are never guessed."""
    assert priority_of_files(files) in {CRITICAL, HIGH, NORMAL, LOW}


def test_the_assigner_sorts_and_counts():
    """Tasks come out most urgent first, equal ones as given, and each is counted once."""
    tasks = [
        {"id": "doc", "files": ["docs/a.txt"]},
        {"id": "one", "file": "services/a.py"},
        {"id": "fix", "priority": "fix", "files": ["docs/a.txt"]},
        {"id": "two", "path": "services/b.py", "priority": "auto"},
        {"id": "core", "files": ("core.py",)},
    ]
    assigner = PriorityAssigner()
    assert [task["id"] for task in assigner.sort_by_priority(tasks)] == [
        "fix", "core", "one", "two", "doc",
    ]  # fmt: skip
    assert assigner.get_stats() == {"fix": 1, "critical": 1, "high": 0, "normal": 2, "low": 1}


def test_the_critical_path_is_raised():
    """What is on it gains one level, never beyond CRITICAL; what somebody has stated stays."""
    tasks = [
        {"id": "alone", "effort": 5},
        {"id": "end", "needs": ["middle"], "files": ["docs/a.md"]},
        {"id": "middle", "needs": ["start"], "priority": "low"},
        {"id": "start", "needs": [], "files": ["core.py"]},
        {"id": "aside", "needs": ["start"], "effort": 1},
    ]
    levels = PriorityAssigner().assign_all(tasks)
    assert levels == [NORMAL, NORMAL, LOW, CRITICAL, NORMAL]
    assert [PriorityAssigner().assign_priority(task) for task in tasks][1] is LOW


def test_the_heaviest_chain_breaks_ties():
    """Among equally urgent tasks the one that begins the most work comes first, by effort."""
    tasks = [
        {"id": "alone"},
        {"id": "hard", "effort": 4},
        {"id": "short", "needs": []},
        {"id": "after short", "needs": ["short"], "effort": 1},
        {"id": "end", "needs": ["middle"], "effort": 5},
        {"id": "middle", "needs": ["start"], "priority": "high"},
        {"id": "start", "priority": "normal"},
    ]
    names = [task["id"] for task in PriorityAssigner().sort_by_priority(tasks)]
    assert names == ["middle", "end", "start", "hard", "short", "alone", "after short"]


@given(st.sampled_from(list(Priority)))
def test_raising_is_by_one_level_at_most(level):
    """Nothing but fixes goes before what is critical."""
    assert raised(level) == (level if level <= CRITICAL else level - 1)


@pytest.mark.parametrize(
    ("files", "options", "words"),
    [
        ((), {}, "no files named"),
        (("src/a.py", "src/core.py"), {}, "by src/core.py"),
        (("src/a.py",), {"critical": True, "ahead": 7},
         "by src/a.py (normal), raised: on the critical path, effort 7 waits for it in a row"),
        (("core.py",), {"critical": True}, "by core.py, on the critical path"),
        (("core.py",), {"stated": "low", "critical": True}, "stated in the plan"),
        ((), {"critical": True}, "no files named (normal), raised: on the critical path"),
    ],
)  # fmt: skip
def test_a_priority_is_explained(files, options, words):
    """In words that name the file, the path and what waits."""
    assert explain_priority(files, **options) == words


def test_a_task_of_the_wrong_shape_is_refused():
    """A number where file names belong is bad input, not a crash."""
    with pytest.raises(ValueError, match="a name or a list of names, got 3"):
        PriorityAssigner().assign_priority({"files": 3})
    with pytest.raises(ValueError, match="did you mean 'low'"):
        PriorityAssigner().assign_all([{"priority": "loww"}])
