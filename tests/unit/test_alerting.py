"""The example dashboard and alert rules name metrics, labels and pages that there are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from vibe_tasks.breaker import State
from vibe_tasks.flow.views.metrics import Figures
from vibe_tasks.metrics import RESENT, Step, increments, labels
from vibe_tasks.store.breakers import Breaker
from vibe_tasks.store.metric_sums import Used
from vibe_tasks.store.stats import QueueStats
from vibe_tasks.web.metrics import exposition

ROOT = Path(__file__).parents[2]
RULES = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())
DASHBOARD = json.loads((ROOT / "deploy/grafana/vibe-tasks.json").read_text())
MANUAL = (ROOT / "docs/monitoring.md").read_text()

STEPS = (
    Step(before="pending", status="processing", attempt=1, error=None, since=1.0, kind="dev",
         lane="code", agent="mine"),
    Step(before="processing", status="failed", attempt=1, error="lease expired: no heartbeat",
         since=1.0, kind="dev", lane="code", agent="mine"),
)  # fmt: skip


def page() -> str:
    """What `/metrics` says of a deployment in which each metric has something to tell."""
    totals = {(name, of): value for step in STEPS for name, of, value in increments(step)}
    return exposition(
        Figures(
            queue=QueueStats(
                lanes={"code": {"pending": 1}}, oldest_pending_seconds={"code": 2.0}, dead_letters=1
            ),
            oldest_unsent=1.0,
            workers=({"status": "online", "lanes": ["code"], "capacity_limit": 2,
                      "active_tasks": 1},),
            breakers=(Breaker(name="claude", state=State.OPEN, wait=1.0, changed_at=0.0,
                              reason="", times_opened=1),),
            used=(Used(agent="mine", usd=1.0, input_tokens=1, output_tokens=1),),
            votes={"passed": 1},
            totals={**totals, (RESENT, labels({"reason": "lost"})): 2},
            unsummed=0,
            last_event=3,
        )
    )  # fmt: skip


def exported() -> dict[str, set[str]]:
    """Labels of each sample by its name; `le` is Prometheus's."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(page()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def expressions() -> Iterator[str]:
    """All that is asked of Prometheus."""
    for group in RULES["groups"]:
        yield from (rule["expr"] for rule in group["rules"])
    for panel in DASHBOARD["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    for variable in DASHBOARD["templating"]["list"][1:]:
        yield variable["query"]["query"]


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_each_expression_asks_for_what_there_is(expression: str) -> None:
    """Its metrics, and the labels by which it chooses and sums."""
    known = exported()
    names = set(re.findall(r"\bvibe_\w+", expression.replace("vibe_tasks", "")))
    assert names
    assert names <= set(known), names - set(known)
    asked = set(re.findall(r"[{,]\s*(\w+)\s*(?:=~|!=|=)", expression))
    for group in re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", expression):
        asked |= {each.strip() for each in group.split(",")}
    there = set().union(*(known[name] for name in names))
    assert asked <= there | {"job"}, asked - there
    assert expression.count("(") == expression.count(")")


def test_each_alert_can_be_acted_on() -> None:
    """Severity, a sentence, and a section of the manual."""
    rules: list[dict[str, Any]] = [rule for group in RULES["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules) > 5
    for rule in rules:
        assert rule["labels"]["severity"] in {"info", "warning", "critical"}
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["runbook"] == f"docs/monitoring.md#{rule['alert'].lower()}"
        assert f"\n### {rule['alert']}\n" in MANUAL
        told = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        assert told <= set().union(*exported().values())


def test_the_manual_names_every_metric_and_no_other() -> None:
    """With its labels."""
    families = {family.name for family in text_string_to_metric_families(page())}
    rows = re.findall(r"`(vibe_[a-z_]+?)(?:_total)?(?:\{([a-z_,]*)\})?`", MANUAL)
    assert {name for name, _ in rows if name != "vibe_tasks"} >= families
    kinds = exported()
    for name, told in rows:
        if told:
            samples = [kinds[each] for each in kinds if each.startswith(name)]
            assert samples, name
            assert set(told.split(",")) == set().union(*samples) - {"le"}, name


def test_the_dashboard_can_be_imported() -> None:
    """It names no data source of ours, and its panels lie side by side."""
    assert DASHBOARD["uid"]
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert {panel["datasource"]["uid"] for panel in DASHBOARD["panels"]} == {"${datasource}"}


def test_the_scrape_is_of_our_page() -> None:
    """Path, and the rules' file."""
    scrape = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    assert scrape["scrape_configs"][0]["metrics_path"] == "/metrics"
    assert (ROOT / "deploy/prometheus" / scrape["rule_files"][0]).exists()
