from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from tests.ledgers import claim, new_job, submit
from tests.web import running_web
from vibe_tasks.metrics import ATTEMPTS, RESENT, RUN, WAIT
from vibe_tasks.store import jobs, metric_totals, usage, version
from vibe_tasks.store.engine import Database, open_database


def done(database: Database, count: int, *, agent: str = "") -> None:
    """So many jobs that were claimed and completed."""
    made = [new_job() for _ in range(count)]
    submit(database, *made)
    for job in made:
        claim(database, job.id)
        with database.begin() as connection:
            if agent:
                usage.record(
                    connection, job_id=job.id, attempt=1, agent=agent, kind="dev", plan_id=None,
                    task_id=None, cost_usd=0.25, input_tokens=10, output_tokens=4,
                )  # fmt: skip
            jobs.complete_job(connection, job.id, 1, 1)


def totals(database: Database) -> Mapping[str, float]:
    """The sums by name, over all labels."""
    with database.read() as connection:
        found: dict[str, float] = {}
        for (name, _), value in metric_totals.totals(connection).items():
            found[name] = found.get(name, 0) + value
    return found


def test_each_step_is_counted_once_by_many_at_once(database: Database) -> None:
    """Four processes' worth of threads sum the same history, in small batches, while it grows."""
    done(database, 30)

    def summing(_: int) -> None:
        while not metric_totals.sum_history(database, batches=1):
            pass

    with ThreadPoolExecutor(5) as pool:
        looks = [pool.submit(summing, number) for number in range(4)]
        pool.submit(done, database, 10).result()
        for each in looks:
            each.result()
    metric_totals.sum_history(database)
    found = totals(database)
    assert found[ATTEMPTS] == found[f"{RUN}_count"] == found[f"{WAIT}_count"] == 40
    with database.read() as connection:
        assert metric_totals.unsummed(connection) == 0


def test_removed_history_takes_no_count_back(database: Database) -> None:
    """Counters of Prometheus must not fall."""
    done(database, 3)
    assert metric_totals.sum_history(database)
    with database.begin() as connection:
        connection.execute(text("DELETE FROM job_history"))
    done(database, 2)
    assert metric_totals.sum_history(database)
    assert totals(database)[ATTEMPTS] == 5


def test_values_beyond_the_most_become_other(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names of agents are anybody's, and a metrics system keeps each for ever."""
    monkeypatch.setattr(metric_totals, "MOST_VALUES", 3)
    for number in range(6):
        done(database, 1, agent=f"agent-{number}")
    metric_totals.sum_history(database)
    with database.read() as connection:
        agents = {
            dict(labels)["agent"]
            for name, labels in metric_totals.totals(connection)
            if name == ATTEMPTS
        }
    assert agents == {"agent-0", "agent-1", "agent-2", "other"}


@pytest.mark.postgres
def test_a_gap_that_may_be_filled_is_waited_for(postgres_url: str) -> None:
    """On PostgreSQL a later id may be seen first; the earlier one is counted when it comes."""
    database = open_database(postgres_url)
    try:
        version.create(database)
        with database.begin() as first:
            jobs.submit(first, [new_job()], published=False)
            done(database, 2)
            metric_totals.sum_history(database)
            assert ATTEMPTS not in totals(database)
        metric_totals.sum_history(database)
        assert totals(database)[ATTEMPTS] == 2
    finally:
        database.close()


def test_the_page_tells_it_all(tmp_path: Path) -> None:
    """In Prometheus's own format, for those who may read."""
    with running_web(tmp_path / "home", api_tokens="read:scraper:abcdefgh12345678") as web:
        done(web.ledger, 2, agent="mine")
        submit(web.ledger, new_job(lane="idle"))
        with web.ledger.begin() as connection:
            metric_totals.add(connection, {(RESENT, (("reason", "lost"),)): 3})
        assert web.client.get("/metrics").status_code == 401
        with web.with_token("abcdefgh12345678") as client:
            answer = client.get("/metrics")
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/plain; version=")
            found = {
                (sample.name, *sorted(sample.labels.items())): sample.value
                for family in text_string_to_metric_families(answer.text)
                for sample in family.samples
            }
    assert found["vibe_jobs", ("queue", "idle"), ("state", "pending")] == 1
    assert found["vibe_oldest_ready_age_seconds", ("queue", "idle")] >= 0
    assert found["vibe_agent_cost_usd_total", ("agent", "mine"), ("model", "")] == 0.5
    assert found["vibe_agent_tokens_total", ("kind", "input")] == 20
    assert found["vibe_redispatched_total", ("reason", "lost")] == 3
    assert found["vibe_leases_expired_total",] == 0
    assert found["vibe_dlq_jobs",] == 0
    assert found["vibe_history_unsummed_rows",] == 0
    told = (("agent", "mine"), ("error_class", ""), ("kind", "call"), ("outcome", "completed"))
    assert found["vibe_job_attempts_total", *told] == 2
    whose = (("agent", "mine"), ("kind", "call"))
    assert found["vibe_job_run_seconds_count", *whose] == 2
    assert found["vibe_job_run_seconds_bucket", whose[0], whose[1], ("le", "+Inf")] == 2
