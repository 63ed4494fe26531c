"""`/metrics`: how the deployment stands, as Prometheus reads it.

All of it comes from the ledger, so each web process tells the same.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from fastapi import APIRouter, Depends
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response

from vibe_tasks.breaker import State
from vibe_tasks.flow.views.metrics import Figures, figures
from vibe_tasks.jobs import JobStatus
from vibe_tasks.metrics import ATTEMPTS, EXPIRED, RESENT, RUN, WAIT, Labels, cumulated
from vibe_tasks.store.metric_totals import Totals
from vibe_tasks.store.version import SCHEMA_VERSION
from vibe_tasks.tasks import processes
from vibe_tasks.web.health import Remembered
from vibe_tasks.web.security import needs
from vibe_tasks.web.services import Services

FRESH = 2.0
"""Seconds for which an answer is given again."""

STATES = {State.CLOSED: 0, State.HALF_OPEN: 1, State.OPEN: 2}


def router(services: Services) -> APIRouter:
    """The one path."""
    routes = APIRouter(tags=["health"])
    told = Remembered(
        lambda: exposition(figures(services.ledger, services.settings)),
        fresh=FRESH, monotonic=services.monotonic,
    )  # fmt: skip

    @routes.get(
        "/metrics", summary="Metrics for Prometheus", dependencies=[Depends(needs("read"))],
        response_class=Response, responses={200: {"content": {"text/plain": {}}}},
    )  # fmt: skip
    def metrics() -> Response:
        return Response(told(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return routes


def exposition(told: Figures) -> str:
    """These figures in Prometheus's text format."""
    return generate_latest(_Collected(told)).decode()


class _Collected:
    """What Prometheus's library asks of a registry."""

    def __init__(self, told: Figures) -> None:
        self._told = told

    def collect(self) -> Iterator[Metric]:
        """All metrics."""
        told = self._told
        build = GaugeMetricFamily("vibe_build_info", "Version of the program and of the schema",
                                  labels=["version", "schema"])  # fmt: skip
        build.add_metric([processes.program_version() or "", str(SCHEMA_VERSION)], 1)
        yield build
        yield from _queue(told)
        yield from _workers(told)
        yield from _agents(told)
        yield from _counted(told.totals)
        yield CounterMetricFamily(
            "vibe_events", "Events that were stored, about", value=told.last_event
        )
        yield GaugeMetricFamily(
            "vibe_history_unsummed_rows", "Steps of jobs that the counters do not have yet",
            value=told.unsummed,
        )  # fmt: skip


def _queue(told: Figures) -> Iterator[Metric]:
    jobs = GaugeMetricFamily("vibe_jobs", "Jobs in the ledger", labels=["queue", "state"])
    for lane, numbers in sorted(told.queue.lanes.items()):
        for status in JobStatus:
            jobs.add_metric([lane, str(status)], numbers.get(str(status), 0))
    yield jobs
    ages = GaugeMetricFamily(
        "vibe_oldest_ready_age_seconds", "How long the oldest due job has waited", labels=["queue"]
    )
    for lane in sorted(told.queue.lanes):
        ages.add_metric([lane], told.queue.oldest_pending_seconds.get(lane, 0.0))
    yield ages
    yield GaugeMetricFamily("vibe_dlq_jobs", "Dead letters", value=told.queue.dead_letters)
    yield GaugeMetricFamily(
        "vibe_oldest_unsent_age_seconds", "How long the oldest due job has waited to be sent",
        value=told.oldest_unsent or 0.0,
    )  # fmt: skip


def _workers(told: Figures) -> Iterator[Metric]:
    numbers = Counter(each["status"] for each in told.workers)
    workers = GaugeMetricFamily("vibe_workers", "Workers in the registry", labels=["state"])
    for status in ("online", "draining", "lost", "starting", "offline"):
        workers.add_metric([status], numbers[status])
    yield workers
    slots: Counter[str] = Counter(dict.fromkeys(told.queue.lanes, 0))
    busy: Counter[str] = Counter(dict.fromkeys(told.queue.lanes, 0))
    for each in told.workers:
        if each["status"] == "online":
            for lane in each["lanes"]:
                slots[lane] += each["capacity_limit"]
                busy[lane] += each["active_tasks"]
    for name, text, found in (
        ("vibe_worker_slots", "Jobs that workers run at once, in each of their lanes", slots),
        ("vibe_worker_busy", "Jobs that these workers run now, of whatever lane", busy),
    ):  # fmt: skip
        family = GaugeMetricFamily(name, text, labels=["queue"])
        for lane, number in sorted(found.items()):
            family.add_metric([lane], number)
        yield family
    standing = GaugeMetricFamily(
        "vibe_breaker_state", "Circuit breaker: 0 closed, 1 half open, 2 open", labels=["provider"]
    )
    for breaker in told.breakers:
        standing.add_metric([breaker.name], STATES[breaker.state])
    yield standing


def _agents(told: Figures) -> Iterator[Metric]:
    cost = CounterMetricFamily(
        "vibe_agent_cost_usd", "US dollars that agents used", labels=["agent", "model"]
    )
    for each in told.used:
        cost.add_metric([each.agent, ""], each.usd)
    yield cost
    tokens = CounterMetricFamily("vibe_agent_tokens", "Tokens of agents", labels=["kind"])
    tokens.add_metric(["input"], sum(each.input_tokens for each in told.used))
    tokens.add_metric(["output"], sum(each.output_tokens for each in told.used))
    yield tokens
    votes = CounterMetricFamily("vibe_consensus", "Votes of reviewers", labels=["result"])
    for result in ("passed", "failed", "degraded"):
        votes.add_metric([result], told.votes.get(result, 0))
    yield votes


def _counted(totals: Totals) -> Iterator[Metric]:
    yield _histogram(WAIT, "Seconds from submission to the first start", ["queue"], totals)
    yield _histogram(RUN, "Seconds that attempts ran", ["kind", "agent"], totals)
    yield _counter(
        ATTEMPTS, "Attempts that ended", ["kind", "agent", "outcome", "error_class"], totals
    )
    yield _counter(EXPIRED, "Attempts whose worker fell silent", [], totals)
    yield _counter(RESENT, "Messages that were sent again", ["reason"], totals)


def _counter(name: str, text: str, labels: list[str], totals: Totals) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for (metric, whose), value in sorted(totals.items()):
        if metric == name:
            family.add_metric(_values(whose, labels), value)
    if not labels and not family.samples:
        family.add_metric([], 0)
    return family


def _histogram(name: str, text: str, labels: list[str], totals: Totals) -> Metric:
    family = HistogramMetricFamily(name, text, labels=labels)
    found: defaultdict[tuple[str, ...], dict[str, float]] = defaultdict(dict)
    for (metric, whose), value in totals.items():
        if metric == f"{name}_bucket":
            found[tuple(_values(whose, labels))][dict(whose)["le"]] = value
    sums = {
        tuple(_values(whose, labels)): value
        for (metric, whose), value in totals.items()
        if metric == f"{name}_sum"
    }
    for values, buckets in sorted(found.items()):
        family.add_metric(list(values), cumulated(buckets), sums.get(values, 0.0))
    return family


def _values(whose: Labels, labels: list[str]) -> list[str]:
    found = dict(whose)
    return [found.get(name, "") for name in labels]
