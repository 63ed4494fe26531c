"""How the dashboard draws: the graph of a plan, its keys and gestures, and changes as they are."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.browser import Visit, chromium, visiting
from tests.plan_jobs import prepared
from tests.repositories import new_commit, new_repository
from tests.web import Web, running_web
from vibe_tasks.flow.submission import submit_plan
from vibe_tasks.plan_graph import chain_weights
from vibe_tasks.workspace.change import change_of

DIAMOND = [
    {"id": "root", "prompt": "x", "effort": 1},
    {"id": "light", "prompt": "x", "needs": ["root"], "effort": 1},
    {"id": "heavy", "prompt": "x", "needs": ["root"], "effort": 5},
    {"id": "end", "prompt": "x", "needs": ["light", "heavy", "root"], "effort": 1},
    {"id": "alone", "prompt": "x"},
]
CALL = """async ([module, name, ...given]) =>
  (await import(`/static/js/${module}.js`))[name](...given)"""
CHAIN = """async (tasks) =>
  (await import('/static/js/graph.js')).longestChain(tasks, (task) => task.effort)"""
SHOWN = "async (text) => (await import('/static/js/diff.js')).diffView(text).textContent"
TRANSFORM = "document.querySelector('.graph > g').getAttribute('transform')"


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A server with one plan, which nobody works on."""
    folder = tmp_path_factory.mktemp("drawing")
    with running_web(folder / "home") as served:
        submit_plan(served.ledger, prepared(folder, name="diamond", tasks=DIAMOND))
        yield served


@pytest.fixture(scope="module")
def visit(web: Web) -> Iterator[Visit]:
    """One window for all: each test goes where it wants to be."""
    with chromium() as browser, visiting(browser, web, "/plans") as opened:
        yield opened


def random_plan(seed: int, number: int) -> list[dict[str, Any]]:
    """Tasks that need some of those before them."""
    dice = random.Random(seed)

    def needs(n: int) -> list[str]:
        near = [f"t{before}" for before in range(max(0, n - 25), n)]
        return dice.sample(near, min(len(near), dice.randint(0, 3)))

    return [{"id": f"t{n}", "effort": dice.randint(1, 5), "needs": needs(n)} for n in range(number)]


@pytest.mark.parametrize(("seed", "number"), [(1, 3), (2, 40), (3, 200)])
def test_any_plan_is_drawn_from_left_to_right_and_nothing_lies_on_another(
    visit: Visit, seed: int, number: int
) -> None:
    """What a task needs is left of it, no two tasks overlap, every need that does not follow from
    another has its line, and the same plan is always drawn the same.
    """
    tasks = random_plan(seed, number)
    drawn = visit.page.evaluate(CALL, ["layout", "layout", tasks])
    assert drawn == visit.page.evaluate(CALL, ["layout", "layout", tasks])
    at = {node["id"]: (node["x"], node["y"]) for node in drawn["nodes"]}
    assert sorted(at) == sorted(task["id"] for task in tasks)
    assert all(at[need][0] < at[task["id"]][0] for task in tasks for need in task["needs"])
    by_column: dict[float, list[float]] = {}
    for x, y in at.values():
        by_column.setdefault(x, []).append(y)
    for column in by_column.values():
        ordered = sorted(column)
        assert all(low - high >= 46 for high, low in pairwise(ordered))
    assert all(0 <= x <= drawn["width"] - 168 and 0 <= y <= drawn["height"] - 46
               for x, y in at.values())  # fmt: skip
    assert {(edge["from"], edge["to"]) for edge in drawn["edges"]} == own_needs(tasks)


def own_needs(tasks: list[dict[str, Any]]) -> set[tuple[str, str]]:
    """Pairs of a need and its task, without those that follow from others."""
    before: dict[str, set[str]] = {}
    for task in tasks:
        before[task["id"]] = set(task["needs"]).union(*(before[need] for need in task["needs"]))
    return {
        (need, task["id"])
        for task in tasks
        for need in task["needs"]
        if not any(need in before[other] for other in task["needs"])
    }


def test_a_drawing_with_few_crossings_is_found(visit: Visit) -> None:
    """Two rows that a plan lists crosswise are drawn without a crossing."""
    left = [{"id": f"a{n}"} for n in range(12)]
    right = [{"id": f"b{n}", "needs": [f"a{11 - n}"]} for n in range(12)]
    drawn = visit.page.evaluate(CALL, ["layout", "layout", [*left, *right]])
    assert drawn["crossings"] == 0


@pytest.mark.parametrize("tasks", [
    [], [{"id": "a", "needs": ["a", "gone"]}],
    [{"id": "a", "needs": ["b"]}, {"id": "b", "needs": ["a"]}, {"id": "c", "needs": ["b", "b"]}],
])  # fmt: skip
def test_odd_plans_are_drawn_too(visit: Visit, tasks: list[dict[str, Any]]) -> None:
    """Nothing, needs that are not there, and circles, which a newer server might know of."""
    drawn = visit.page.evaluate(CALL, ["layout", "layout", tasks])
    assert len(drawn["nodes"]) == len(tasks)


@pytest.mark.parametrize("seed", range(4))
def test_the_longest_chain_weighs_what_the_scheduler_says(visit: Visit, seed: int) -> None:
    """The page and `plan_graph` agree on how much work is in a row."""
    tasks = random_plan(seed, 60)
    chain = visit.page.evaluate(CHAIN, tasks)
    effort = {task["id"]: task["effort"] for task in tasks}
    needs = {task["id"]: task["needs"] for task in tasks}
    assert all(before in needs[after] for before, after in pairwise(chain))
    assert sum(effort[each] for each in chain) == max(chain_weights(needs, effort).values())


def test_the_graph_is_moved_zoomed_and_walked_with_keys_and_pointer(visit: Visit) -> None:
    """Everything that a pointer does, keys do; Enter opens the task's job."""
    visit.go("/plans/diamond?view=graph")
    page, frame = visit.page, visit.page.locator(".graph")
    frame.wait_for()
    assert "3 tasks of effort 7: root → heavy → end" in visit.text(".chain-line")
    before = page.evaluate(TRANSFORM)
    frame.focus()
    for key in ("+", "ArrowRight", "ArrowDown", "-"):
        page.keyboard.press(key)
        after = page.evaluate(TRANSFORM)
        assert after != before, key
        before = after
    page.keyboard.press("0")
    box = frame.bounding_box()
    assert box is not None
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] - 20)
    before = page.evaluate(TRANSFORM)
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + 40, middle[1] - 30, steps=4)
    page.mouse.up()
    dragged = page.evaluate(TRANSFORM)
    assert dragged != before
    page.keyboard.down("Control")
    page.mouse.wheel(0, -200)
    page.keyboard.up("Control")
    visit.until(lambda: page.evaluate(TRANSFORM) != dragged)

    frame.focus()
    page.keyboard.press("Tab")
    seen = [page.evaluate("document.activeElement.dataset.task")]
    for key in ("ArrowRight", "ArrowDown", "ArrowRight", "ArrowLeft"):
        page.keyboard.press(key)
        seen.append(page.evaluate("document.activeElement.dataset.task"))
    assert seen[0] == "root"
    assert set(seen[1:3]) == {"light", "heavy"}
    assert seen[3] == "end"
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="diamond/end dev").or_(
        page.get_by_role("heading", name=f"diamond/{seen[4]} dev")
    ).wait_for()


def test_the_board_is_walked_with_arrow_keys(visit: Visit) -> None:
    """Right goes to the next column that has cards, down to the next card."""
    visit.go("/plans/diamond")
    visit.page.locator(".task-card").first.focus()
    seen = []
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "ArrowLeft"):
        visit.page.keyboard.press(key)
        seen.append(visit.page.evaluate("document.activeElement.dataset.task"))
    assert seen[:2] == ["heavy", "end"]
    assert seen[2] in {"root", "alone"}
    assert seen[3] in {"light", "heavy"}


EVIL = {
    "kept.txt": "one\ntwo\nthree\n", "moved here.txt": "".join(f"line {n}\n" for n in range(20)),
    "odd.py": "ok = True\n",
}  # fmt: skip
CHANGED = {
    "kept.txt": "one\n-- a/kept.txt\n++ b/other\ndiff --git a/x b/x\n@@ -1 +1 @@\nthree\n",
    "moved there.txt": EVIL["moved here.txt"] + "more\n",
    "odd.py": "ok = True  # \u202e } \u2066if admin\u2069 \u200b\nend = 1\r\n",
}


def test_a_change_is_read_as_git_wrote_it(visit: Visit, tmp_path: Path) -> None:
    """Lines that look like a diff's own are lines; a file that was renamed has its new name; what
    cannot be seen is named.
    """
    repository = new_repository(tmp_path / "repo", dict(EVIL))
    base = repository.resolve("main")
    commit = new_commit(repository, base, dict(CHANGED), deleted=("moved here.txt",))
    text = change_of(repository, onto=base, commit=commit).diff
    files = {each["path"]: each for each in visit.page.evaluate(CALL, ["diff", "filesOf", text])}
    assert sorted(files) == ["kept.txt", "moved there.txt", "odd.py"]
    kept = [
        (line["kind"], line["text"], line["old"], line["new"])
        for line in files["kept.txt"]["lines"]
        if line["kind"] in {"add", "del", "same"}
    ]
    assert kept == [
        ("same", "one", 1, 1), ("del", "two", 2, None), ("add", "-- a/kept.txt", None, 2),
        ("add", "++ b/other", None, 3), ("add", "diff --git a/x b/x", None, 4),
        ("add", "@@ -1 +1 @@", None, 5), ("same", "three", 3, 6),
    ]  # fmt: skip
    assert (files["kept.txt"]["added"], files["kept.txt"]["removed"]) == (4, 1)
    shown = visit.page.evaluate(SHOWN, text)
    assert "U+202E" in shown
    assert "U+2066" in shown
    assert "U+200B" in shown
    assert not {"\u202e", "\u2066", "\u200b"} & set(shown)


@pytest.mark.parametrize("path", [
    "/plans", "/plans/diamond", "/plans/diamond?view=graph", "/plans/diamond?view=events", "/jobs",
    "/dead-letters", "/approvals",
])  # fmt: skip
def test_a_phone_shows_all_of_it(visit: Visit, path: str) -> None:
    """At 380 pixels no page is wider than the screen."""
    visit.page.set_viewport_size({"width": 380, "height": 760})
    try:
        visit.go(path)
        visit.until(lambda: visit.page.locator(".skeleton").count() == 0)
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= 380
    finally:
        visit.page.set_viewport_size({"width": 1280, "height": 860})
