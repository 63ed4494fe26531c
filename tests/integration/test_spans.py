"""Spans: made where they are asked for, sent to a real collector, and never in anybody's way."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import use_span

from tests.acceptance.plan_folder import make_plan
from tests.homes import forget, own_home
from tests.ledgers import claim, new_job, submit
from tests.otlp_collector import Collector, collector
from vibe_tasks.cli.main import cli
from vibe_tasks.errors import SettingsError
from vibe_tasks.flow import attempts
from vibe_tasks.flow.progress import publication_of
from vibe_tasks.masking import MASK
from vibe_tasks.tasks import resources
from vibe_tasks.tasks.observation import attended, in_hand, traces
from vibe_tasks.trace import parse_trace, trace_id_of

KEY = "ghp_" + "a1B2" * 9


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home of its own for this process."""
    with own_home(tmp_path, monkeypatch):
        yield tmp_path


@pytest.fixture
def seen(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector that this process sends its spans to."""
    assert home.is_dir()
    with collector() as running:
        _send_to(running.endpoint, monkeypatch)
        yield running
        traces.finish()


def _send_to(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIBE_TRACES", "otlp")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    forget()


def test_a_call_and_its_run(seen: Collector) -> None:
    """The run hangs from the submission; what the job submits in turn hangs from the run; an error
    is recorded there, without secrets.
    """
    with traces.submitting("shop.sell"):
        job = new_job(id="a", name="shop.sell", trace=traces.parent())
    submit(resources.ledger(), job)
    traces.dispatched([publication_of(job)], began=resources.wall_clock())
    taken = claim(resources.ledger(), "a")
    with attended.attended(taken, "w1"):
        with traces.submitting("shop.bill"):
            assert trace_id_of(traces.parent()) == trace_id_of(job.trace)
        with pytest.raises(KeyError), traces.span("part", {"vibe.n": 1}):
            raise KeyError("lost", KEY)
        attended.before_end("failed", ValueError(f"no paper {KEY}"))
    traces.finish()
    sell, bill = seen.named("submit", name="shop.sell") + seen.named("submit", name="shop.bill")
    (sent,), (run,), (part,) = (seen.named(each) for each in ("dispatch", "run/shop.sell", "part"))
    assert {each.trace for each in seen.spans} == {sell.trace}
    assert [each.parent for each in (sell, sent, run, bill, part)] == [
        "", sell.id, sell.id, run.id, run.id,
    ]  # fmt: skip
    assert (run.status, run.errors) == (2, (f"no paper {MASK}",))
    assert run.message == f"ValueError: no paper {MASK}"
    assert run.attributes["vibe.status"] == "failed"
    assert (part.status, part.errors) == (2, (f"('lost', '{MASK}')",))
    assert sell.service == "vibe_tasks"


def test_whoever_finds_a_worker_dead_writes_its_span(seen: Collector) -> None:
    """The same span as the worker's own: who sees both sees one. Without a trace there is none."""
    ledger = resources.ledger()
    submit(ledger, new_job(id="a", trace=traces.parent()), new_job(id="b"))
    for job in ("a", "b"):
        with attended.attended(claim(ledger, job), "w1"):
            pass
        attempts.lose(ledger, job, "w1", "killed", uniform=resources.uniform, tell=traces.lost)
    traces.finish()
    own, lost = (each for each in seen.named("run/test.add", job="a"))
    assert own.id == lost.id
    assert (lost.status, lost.message, lost.attributes["vibe.status"]) == (2, "killed", "lost")
    assert len(seen.named("run/test.add", job="b")) == 1


def test_a_job_is_in_its_producers_trace(home: Path) -> None:
    """That of a current span, whatever our setting is; in a job that of the job; else a fresh
    one.
    """
    fresh = traces.parent()
    assert parse_trace(fresh) is not None
    assert trace_id_of(traces.parent()) != trace_id_of(fresh)
    mark = in_hand.trace.set(fresh)
    assert traces.parent() == fresh
    provider = TracerProvider(shutdown_on_exit=False)
    with use_span(provider.get_tracer("web").start_span("request"), end_on_exit=True) as span:
        context = span.get_span_context()
        assert traces.parent() == f"00-{context.trace_id:032x}-{context.span_id:016x}-01"
    in_hand.trace.reset(mark)
    # Nothing is made where nobody asked for it.
    with traces.submitting("x"), traces.span("part"):
        traces.ended("completed")
    assert home.exists()


def test_a_collector_that_is_away_is_in_nobodys_way(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spans are lost and nothing else; the end of the process waits a little and no more."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: whoever connects is refused
        _send_to(f"http://127.0.0.1:{taken.getsockname()[1]}", monkeypatch)
        for _ in range(2_500):
            with traces.submitting("x"):
                assert parse_trace(traces.parent()) is not None
        traces.finish()
        traces.finish()
    assert home.exists()


def test_spans_on_a_console(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are printed where logs go, not where results go."""
    monkeypatch.setenv("VIBE_TRACES", "console")
    forget()
    with traces.submitting("shop.sell"):
        pass
    traces.finish()
    printed = capsys.readouterr()
    assert '"vibe.name": "shop.sell"' in printed.err
    assert printed.out == ""
    assert home.exists()


@pytest.mark.parametrize("missing", ["opentelemetry.exporter.otlp.proto.http", "opentelemetry"])
def test_without_the_packages(home: Path, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """What asks for spans is refused with one line that says how to mend it; all else works."""
    for name in [each for each in sys.modules if each.startswith(missing)]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    traces.check()
    assert parse_trace(traces.parent()) is not None
    _send_to("http://127.0.0.1:1", monkeypatch)
    with pytest.raises(SettingsError, match=r"VIBE_TRACES: otlp needs .* 'vibe-tasks\[otel\]'"):
        traces.check()
    plan = make_plan(home, [{"id": "one", "prompt": ""}])
    result = CliRunner().invoke(cli, ["run", str(plan)], prog_name="vibe")
    assert result.exit_code == 2
    assert "vibe: VIBE_TRACES: otlp needs" in result.stderr
