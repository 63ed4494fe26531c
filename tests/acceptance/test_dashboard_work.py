"""The dashboard's pages of work, on a ledger where nobody works: what people see and do there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import insert

from tests.browser import ATTACK, Visit, chromium, visiting
from tests.dashboard_scripts import CLOCK, FOCUS, LATE, STREAM, TOKENS
from tests.ledgers import claim, middle, new_job, row, submit
from tests.plan_jobs import job_of, prepared
from tests.repositories import new_commit
from tests.reviews import Panel
from tests.web import Web, running_web
from vibe_tasks.flow import attempts
from vibe_tasks.flow.attempts import Ending
from vibe_tasks.flow.submission import submit_plan
from vibe_tasks.flow.workplace import Bench, Workplace, set_up
from vibe_tasks.pipeline import Outcome
from vibe_tasks.store import jobs, usage
from vibe_tasks.store.engine import Database
from vibe_tasks.store.event_tables import job_logs


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One Chromium for all."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """One server and ledger for all: each test has jobs of its own."""
    with running_web(tmp_path_factory.mktemp("work") / "home") as served:
        yield served


@pytest.fixture
def visit(browser: Any, web: Web) -> Iterator[Visit]:
    """A window in which nothing may go wrong."""
    with visiting(browser, web, "/plans") as opened:
        yield opened


def bench_of(ledger: Database, folder: Path, job_id: str, *, worker: str = "w1") -> Bench:
    """An attempt at this job, set up."""
    place = Workplace(ledger=ledger, home=folder / "home", environ={})
    return set_up(place, claim(ledger, job_id, worker=worker))


def do(ledger: Database, folder: Path, task: str, *, text: str, summary: str) -> str:
    """Do the task's dev job, with a file of this text; the commit."""
    bench = bench_of(ledger, folder, job_of(ledger, task, "dev"))
    commit = new_commit(bench.repository, bench.plan["base_commit"], {f"{task}.txt": text})
    base = bench.plan["base_commit"]
    result = {"commit": commit, "base": base, "summary": summary}
    bench.finish(result, Outcome.DONE, commit=commit)
    return commit


def passes(ledger: Database, folder: Path, task: str, commit: str) -> None:
    """QA passes the task's commit."""
    bench = bench_of(ledger, folder, job_of(ledger, task, "qa"))
    bench.finish({"verdict": "pass", "summary": ATTACK}, Outcome.PASSED, commit=commit)


def die(ledger: Database, job_id: str, error: str, *, worker: str = "w1") -> None:
    """The job fails for good."""
    taken = claim(ledger, job_id, worker=worker)
    attempts.settle(ledger, taken, Ending(kind="permanent", text=error), uniform=middle)


def log(ledger: Database, job_id: str, attempt: int, seq: int, *texts: str) -> None:
    """What the attempt said, one piece."""
    lines = [{"at": 1_700_000_000.0, "level": "info", "logger": "agent", "text": each}
             for each in texts]  # fmt: skip
    piece = {"job_id": job_id, "attempt": attempt, "seq": seq, "at": 1_700_000_000.0}
    with ledger.begin() as connection:
        connection.execute(insert(job_logs).values(**piece, lines=lines))


def seen(visit: Visit, text: str = ATTACK) -> None:
    """Wait until the page shows this text as text."""
    visit.until(lambda: text in visit.page.locator("main").inner_text())


def button(visit: Visit, name: str) -> Any:
    """The button of this name, on the page."""
    return visit.page.locator("main").get_by_role("button", name=name, exact=True)


def answer(visit: Visit, name: str) -> None:
    """Press this button of the dialog that asks."""
    visit.page.locator("dialog[open]").get_by_role("button", name=name, exact=True).click()


def test_scripts_in_texts_of_plans_and_jobs_are_shown_and_never_run(
    visit: Visit, web: Web, tmp_path: Path
) -> None:
    """Titles, prompts, errors, logs, changes, file names, summaries and workers: all are text."""
    tasks = [{"id": name, "title": ATTACK, "prompt": ATTACK} for name in ("evil", "bad")]
    ready = prepared(tmp_path, name="attack", tasks=tasks, deploy={"approval": "manual"})
    submit_plan(web.ledger, ready)
    commit = do(web.ledger, tmp_path, "evil", text=f"{ATTACK}\n", summary=ATTACK)
    passes(web.ledger, tmp_path, "evil", commit)
    dead = job_of(web.ledger, "bad", "dev")
    die(web.ledger, dead, ATTACK, worker=ATTACK)
    log(web.ledger, dead, 1, 1, ATTACK)

    visit.go("/plans/attack")
    visit.until(lambda: visit.page.locator(".task-card", has_text=ATTACK).count() == 2)
    assert "waiting for your approval" in visit.text(".waits")
    for view in ("graph", "events"):
        visit.go(f"/plans/attack?view={view}")
        visit.page.locator(".graph .node:visible, .plan-event:visible").first.wait_for()
    made = job_of(web.ledger, "evil", "dev")
    visit.go(f"/jobs/{made}")
    visit.page.locator(".diff-table .add", has_text=ATTACK).wait_for()
    for part in ("Prompt", "Summary"):
        assert ATTACK in visit.page.locator(".values details", has_text=part).first.inner_text()
    visit.go(f"/jobs/{dead}")
    visit.page.locator(".log-text", has_text=ATTACK).wait_for()
    assert ATTACK in visit.text(".job-error")
    assert ATTACK in visit.text(".attempt")
    visit.go("/jobs?plan=attack")
    seen(visit)
    visit.go("/dead-letters")
    seen(visit)
    visit.go("/approvals")
    seen(visit)
    visit.page.locator(".approval", has_text=ATTACK).locator("summary").click()
    visit.page.locator(".diff-table .add", has_text=ATTACK).wait_for()
    assert commit in visit.text(".change")


def test_a_deploy_is_approved_or_rejected_by_its_commit(
    visit: Visit, web: Web, tmp_path: Path
) -> None:
    """Approved is what was shown; what is rejected ends, with the reason that was given."""
    tasks = [{"id": name, "prompt": "x"} for name in ("good", "poor")]
    ready = prepared(tmp_path, name="gate", tasks=tasks, deploy={"approval": "manual"})
    submit_plan(web.ledger, ready)
    for task in ("good", "poor"):
        passes(web.ledger, tmp_path, task, do(web.ledger, tmp_path, task, text="x", summary="x"))
    good, poor = (job_of(web.ledger, task, "deploy") for task in ("good", "poor"))

    visit.go("/approvals")
    number = visit.page.locator("#pages a[data-path='/approvals'] .count")
    visit.until(lambda: int(number.inner_text() or 0) >= 2)
    button(visit, "Approve good of gate").click()
    answer(visit, "Cancel")
    assert row(web.ledger, good)["status"] == "blocked"
    button(visit, "Approve good of gate").click()
    answer(visit, "Approve")
    visit.until(lambda: row(web.ledger, good)["status"] == "pending")
    button(visit, "Reject poor of gate").click()
    visit.page.locator("dialog[open] input").fill("no tests")
    answer(visit, "Reject")
    visit.until(lambda: row(web.ledger, poor)["status"] == "cancelled")
    visit.page.locator(".approval", has_text="gate").first.wait_for(state="detached")
    visit.go(f"/jobs/{poor}")
    seen(visit, "no tests")


def test_what_too_few_reviewers_decided_and_what_a_budget_stops_wait_for_a_person(
    visit: Visit, web: Web, tmp_path: Path
) -> None:
    """Reviewers are asked again; a budget is raised, and its work goes on."""
    panel = Panel(web.ledger, tmp_path / "panel")
    panel.cast(1, "pass")
    panel.end(2, "permanent", "wrong key")
    panel.end(3, "permanent", "no such model")
    ready = prepared(tmp_path / "b", name="dear", tasks=[{"id": "dear", "prompt": "x"}],
                     budget={"usd": 3.0})  # fmt: skip
    plan_id = submit_plan(web.ledger, ready).plan_id
    job = job_of(web.ledger, "dear", "dev")
    claim(web.ledger, job)
    with web.ledger.begin() as connection:
        usage.record(connection, job_id=job, attempt=1, plan_id=plan_id, task_id="dear",
                     agent="sh", kind="dev", cost_usd=3.5)  # fmt: skip
        over = usage.reached(connection, plan_id, "dear", "sh")
        jobs.block_job(connection, job, 1, over or "")

    visit.go("/approvals")
    seen(visit, "budget of plan dear: 3.50 of 3.00 USD used")
    seen(visit, "undecided: 1 of 3 reviewers voted")
    button(visit, "Raise USD").click()
    visit.page.locator("dialog[open] input").fill("20")
    answer(visit, "Raise")
    visit.until(lambda: row(web.ledger, job)["status"] == "pending")
    button(visit, "Ask again about todo/a").click()
    visit.until(lambda: panel.verdict() == "voting")
    visit.page.locator(".approval", has_text="todo/a").wait_for(state="detached")
    visit.go("/plans/dear")
    visit.until(lambda: "$3.50 of $20.00" in visit.text(".budgets"))
    visit.go(f"/jobs/{panel.qa()['id']}")
    visit.page.locator(".reviews", has_text="no such model").or_(
        visit.page.locator(".reviews", has_text="yet to come")
    ).wait_for()


def test_dead_letters_are_filtered_and_discarded_many_at_once(visit: Visit, web: Web) -> None:
    """Only what is shown and selected goes, after a question; keys do all of it."""
    ids = {name: [f"{name}-{n}" for n in range(15)] for name in ("apples", "pears")}
    submit(web.ledger, *(new_job(id=each, name="fruit", lane="crates", max_retries=1)
                         for name in ids for each in ids[name]))  # fmt: skip
    for name, found in ids.items():
        for each in found:
            die(web.ledger, each, f"no more {name}")
    visit.go("/dead-letters")
    visit.page.locator(".dead-list tbody tr", has_text="pears").nth(14).wait_for()
    visit.page.keyboard.press("f")
    visit.page.keyboard.type("fruit apples")
    visit.until(lambda: visit.page.locator(".dead-list tbody tr").count() == 15)
    visit.page.keyboard.press("Tab")
    visit.page.locator("main").focus()
    visit.page.keyboard.press("s")
    visit.page.get_by_label("Select fruit").first.uncheck()
    assert "14 dead letters of 15 selected" in visit.text(".bulk-bar")
    visit.page.locator("main").focus()
    visit.page.keyboard.press("x")
    answer(visit, "Cancel")
    assert row(web.ledger, "apples-3")["dead_at"] is not None
    visit.page.keyboard.press("x")
    answer(visit, "Discard")
    visit.until(lambda: visit.page.locator(".dead-list tbody tr").count() == 1)
    left = [each for name in ids for each in ids[name] if row(web.ledger, each)["dead_at"]]
    assert left == ["apples-14", *ids["pears"]]

    assert button(visit, "Retry").is_disabled()
    visit.page.locator(".bulk-bar input").check()
    button(visit, "Retry").click()
    answer(visit, "Retry")
    visit.until(lambda: row(web.ledger, "apples-14")["status"] == "pending")
    visit.page.get_by_text("No dead letter is like that").wait_for()


def test_a_task_that_qa_refused_for_good_is_shown_as_dead(
    visit: Visit, web: Web, tmp_path: Path
) -> None:
    """Its qa job has completed, yet it is a dead letter with its reason, and its attempt refused
    the commit; a job that is nowhere has a way back to the list.
    """
    tasks = [{"id": "poor", "prompt": "x", "max_fix_rounds": 0}]
    submit_plan(web.ledger, prepared(tmp_path, name="refused", tasks=tasks))
    commit = do(web.ledger, tmp_path, "poor", text="x", summary="x")
    job = job_of(web.ledger, "poor", "qa")
    bench = bench_of(web.ledger, tmp_path, job)
    bench.finish({"verdict": "fail", "summary": "3\ntests"}, Outcome.REJECTED, commit=commit)
    visit.go(f"/jobs/{job}")
    visit.page.locator(".title-line .badge.bad", has_text="dead letter").wait_for()
    assert "after 0 fix rounds: 3\ntests" in visit.text(".job-error")
    assert visit.text(".attempt .badge.bad") == "refused"
    visit.go("/dead-letters")
    visit.page.locator(".error-cell", has_text="after 0 fix rounds: 3 · tests").wait_for()
    visit.go("/jobs/nowhere")
    visit.page.get_by_text("There is no job nowhere").wait_for()
    assert button(visit, "Try again").count() == 0
    visit.page.locator("main").get_by_role("link", name="All jobs").click()
    visit.page.get_by_role("heading", level=1, name="Jobs").wait_for()
    visit.wrong[:] = [each for each in visit.wrong if "404" not in each]


def test_jobs_are_filtered_and_paged_and_new_ones_come_by_themselves(
    visit: Visit, web: Web
) -> None:
    """Fifty on a page; the address carries the filter; a job is cancelled on its own page."""
    submit(web.ledger, *(new_job(id=f"row-{n}", lane="rows", name="count") for n in range(120)))
    visit.go("/jobs?lane=rows&status=bogus")
    rows = visit.page.locator(".job-list tbody tr")
    visit.until(lambda: "row-119" in rows.first.inner_text() and rows.count() == 50)
    button(visit, "Older").click()
    visit.until(lambda: "row-69" in rows.first.inner_text())
    button(visit, "Older").click()
    visit.until(lambda: "row-19" in rows.first.inner_text() and rows.count() == 20)
    assert button(visit, "Older").is_disabled()
    button(visit, "Newer").click()
    button(visit, "Newer").click()
    visit.until(lambda: "row-119" in rows.first.inner_text())
    submit(web.ledger, new_job(id="row-120", lane="rows", name="count"))
    visit.until(lambda: "row-120" in rows.first.inner_text())

    visit.page.locator("select[name=status]").select_option("processing")
    visit.page.get_by_text("No job is like that").wait_for()
    claim(web.ledger, "row-5")
    visit.until(lambda: rows.count() == 1 and "row-5" in rows.first.inner_text())
    assert "status=processing" in visit.page.url
    rows.first.get_by_role("link").click()
    button(visit, "Cancel").click()
    visit.page.locator("dialog[open] input").fill("wrong crate")
    answer(visit, "Cancel the job")
    visit.until(lambda: row(web.ledger, "row-5")["status"] == "cancelled")
    visit.page.locator(".attempt", has_text="wrong crate").wait_for()
    button(visit, "Retry").click()
    visit.until(lambda: row(web.ledger, "row-5")["status"] == "pending")


def test_a_job_shows_its_attempts_and_its_log_as_it_grows(visit: Visit, web: Web) -> None:
    """Errors of each attempt, the history as bars, and new lines of the log without a click."""
    submit(web.ledger, new_job(id="talker", lane="talk", name="talk", max_retries=3,
                               retry_base=0.001))  # fmt: skip
    taken = claim(web.ledger, "talker", worker="first@host")
    log(web.ledger, "talker", 1, 1, "hello", "and more")
    attempts.settle(web.ledger, taken, Ending(kind="retry", text="first try broke"), uniform=middle)
    with web.ledger.begin() as connection:
        connection.exec_driver_sql("UPDATE jobs SET backoff_until = NULL WHERE id = 'talker'")
    again = claim(web.ledger, "talker", worker="second@host")
    visit.go("/jobs/talker")
    visit.page.locator(".attempt", has_text="first try broke").wait_for()
    assert visit.page.locator(".attempt").count() == 2
    assert visit.page.locator(".time-row").count() == 4
    visit.page.get_by_text("It has said nothing yet").wait_for()
    log(web.ledger, "talker", 2, 1, "line one")
    visit.page.locator(".log-text", has_text="line one").wait_for()
    log(web.ledger, "talker", 2, 2, *(f"line {n}" for n in range(2, 900)))
    visit.page.locator(".log-text", has_text="line 899").wait_for()
    assert visit.page.evaluate(
        "(({scrollHeight: all, scrollTop: from, clientHeight: seen}) => all - from - seen < 41)"
        "(document.querySelector('.log'))"
    )
    visit.page.get_by_label("Attempt whose log is shown").select_option("1")
    visit.page.locator(".log-text", has_text="and more").wait_for()
    assert visit.page.locator(".log-line").count() == 2
    with web.ledger.begin() as connection:
        jobs.complete_job(connection, "talker", again.attempt, {"summary": "said it all"})
    visit.page.locator(".title-line .badge", has_text="completed").wait_for()
    seen(visit, "said it all")


def test_late_answers_breaks_and_wrong_clocks_mislead_nobody(visit: Visit) -> None:
    """An answer that is older than what somebody has just done is not shown; a list that changes
    leaves the focus where it was; who closes the question for a token is not asked again by
    looks that come by themselves; a server that lets a page in and throws it out is asked ever
    more seldom, and a page that was away for hours begins anew; ages are counted by the server's
    clock.
    """
    page = visit.page
    assert page.evaluate(LATE) == [["newer"], 2]
    assert page.evaluate(FOCUS) == ["b3", "b3", "b3", "main"]
    assert page.evaluate(TOKENS) == [2, [401, 401, 401, 401]]
    assert page.evaluate(STREAM) == [4, [True, False]]
    assert page.evaluate(CLOCK) == ["2 min ago"] * 3


def test_a_page_that_is_left_takes_its_questions_and_timers_with_it(visit: Visit, web: Web) -> None:
    """A dialog does not stay over the next page, a filter that is still being typed does not
    change its address, and a text that is marked until beside the dialog closes nothing.
    """
    job = "left 50%? 'x' ..#"
    submit(web.ledger, new_job(id=job, lane="left"))
    visit.go(f"/jobs/{quote(job, safe='')}")
    page = visit.page
    page.get_by_role("button", name="Cancel").click()
    field = page.get_by_label("Reason")
    box = field.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(2, 2)
    page.mouse.up()
    assert page.get_by_role("dialog").count() == 1
    page.evaluate("location.hash = '#/jobs'")
    page.get_by_role("dialog").wait_for(state="detached")
    page.get_by_label("Lane").fill("x")
    page.evaluate("location.hash = '#/plans'")
    page.get_by_role("heading", level=1, name="Plans").wait_for()
    page.wait_for_timeout(500)  # longer than a filter waits for the next letter
    assert page.evaluate("location.hash") == "#/plans"
    assert row(web.ledger, job)["status"] == "pending"
