"""Scaling the fleet, as a Celery task of the lane `control`, which beat calls.

Several workers may get it, and several beats send it: for each lane one of them decides at a time.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from vibe_tasks.fleet import FleetLane, parse_fleet
from vibe_tasks.settings import Settings
from vibe_tasks.store import scale_decisions
from vibe_tasks.store.audit import By, note_apart
from vibe_tasks.store.engine import DATABASE_ERRORS, Database
from vibe_tasks.store.retries import reason
from vibe_tasks.tasks import resources
from vibe_tasks.tasks.app import app
from vibe_tasks.tasks.fleet.provisioners import kubernetes, process, virtual, webhook
from vibe_tasks.tasks.fleet.provisioners.provisioner import Provisioner, ProvisionerError
from vibe_tasks.tasks.fleet.scaler import LEFT_ALONE, Scaler, Verdict

log = logging.getLogger(__name__)


@app.task(name="vibe.scale", ignore_result=True, lane="control")
def scale() -> list[dict[str, Any]]:
    """Look at each lane of the fleet, and start or end workers."""
    return [asdict(each) for each in check(resources.ledger(), resources.settings())]


def check(
    ledger: Database, settings: Settings, *, apply: bool = True, by: By | None = None
) -> tuple[Verdict, ...]:
    """Decide for each lane of the fleet; what each came to.

    What a lane's provisioner does or leaves undone is nothing to the other lanes.

    Args:
        ledger: The ledger.
        settings: The settings.
        apply: Whether what was decided is carried out and written down.
        by: Who asked for it, for the audit trail; None: beat.
    """
    scaler = Scaler(ledger, settings, provisioners_of(ledger, settings))
    lanes = parse_fleet(settings.fleet)
    found: list[Verdict] = []
    # First: a lane that another provisioner has now begins with none.
    for lane in released(ledger, lanes) if apply else ():
        try:
            if (gone := scaler.release(lane)) is not None:
                found.append(gone)
        except (ProvisionerError, *DATABASE_ERRORS) as error:
            log.warning("fleet: lane %s cannot be released: %s", lane.lane, error)
    for lane in lanes:
        verdict = _tried(scaler, lane, apply=apply)
        found.append(verdict)
        if verdict.reason == LEFT_ALONE:
            continue
        if verdict.error:
            log.warning("fleet: lane %s: %s", lane.lane, verdict.error)
        elif apply and verdict.applied != verdict.before:
            log.info("fleet: lane %s: %s to %s workers: %s", lane.lane, verdict.before,
                     verdict.applied, verdict.reason)  # fmt: skip
    if apply:
        done = {each.lane: each.error or each.applied for each in found}
        note_apart(ledger, by, "scale.apply", None, done)
    return tuple(found)


def _tried(scaler: Scaler, lane: FleetLane, *, apply: bool) -> Verdict:
    try:
        return scaler.scale(lane) if apply else scaler.look(lane)
    except DATABASE_ERRORS as error:
        return Verdict(lane=lane.lane, provisioner=lane.provisioner, error=reason(error))


def provisioners_of(ledger: Database, settings: Settings) -> Mapping[str, Provisioner]:
    """Every provisioner, by its name in the settings."""
    return {
        "virtual": virtual.Virtual(ledger),
        "process": process.Process(
            ledger, patience=settings.fleet_start_seconds, every=settings.scale_seconds
        ),
        "kubernetes": kubernetes.Kubernetes(
            namespace=settings.fleet_namespace, timeout=settings.fleet_timeout
        ),
        "webhook": webhook.Webhook(
            settings.fleet_webhook, secret=settings.fleet_secret,
            timeout=settings.fleet_timeout, wall_clock=resources.wall_clock,
        ),
    }  # fmt: skip


def released(ledger: Database, lanes: tuple[FleetLane, ...]) -> tuple[FleetLane, ...]:
    """The lanes that have workers of ours and are not under that control any more.

    What a Deployment or somebody's service runs is theirs and stays; so does a virtual worker that
    somebody has registered by hand.
    """
    kept = {(each.lane, each.provisioner) for each in lanes}
    with ledger.read() as connection:
        there = {(each.lane, "process") for each in process.members(connection)}
        for each in virtual.members(connection):
            state = scale_decisions.kept(connection, each.lane).state
            if each.leaving or state.get("provisioner") == "virtual":
                there.add((each.lane, "virtual"))
    return tuple(
        FleetLane(lane=lane, provisioner=how, least=0, most=0) for lane, how in sorted(there - kept)
    )
