"""The ledger's upkeep, settings and the doctor: `vibe db`, `vibe config`, `vibe doctor`."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter

from vibe_tasks.store.history import archive_old_history, count_history
from vibe_tasks.store.upgrade import differences
from vibe_tasks.store.version import SCHEMA_VERSION
from vibe_tasks.tasks import resources
from vibe_tasks.tasks.doctor import examine
from vibe_tasks.web.api.parts import PROBLEMS, Served, Tagged, may
from vibe_tasks.web.models.kinds import Page
from vibe_tasks.web.models.upkeep import Archived, ArchiveGiven, Config, Finding, Schema

router = APIRouter(route_class=Tagged, tags=["upkeep"], responses=PROBLEMS)


@router.get("/db", response_model=Schema, **may("admin"))
def check_db(services: Served) -> Any:
    """The schema's version, and where the database differs from what this program expects."""
    return {"version": SCHEMA_VERSION, "differences": differences(services.ledger)}


@router.post("/db/archive", response_model=Archived, **may("admin"))
def archive_db(services: Served, body: ArchiveGiven) -> Any:
    """Move old history rows to the archive; nothing is deleted, and workers go on meanwhile."""
    moved = archive_old_history(services.ledger, body.days)
    history, archived = count_history(services.ledger)
    return {"moved": moved, "history": history, "archive": archived}


@router.get("/config", response_model=Config, **may("admin"))
def show_config() -> Any:
    """Every setting of this server, its value and where it came from; secrets are masked."""
    settings, in_use = resources.shown_settings()
    return {"settings": [asdict(each) for each in settings], "in_use": in_use}


@router.get("/doctor", response_model=Page[Finding], **may("admin"))
def show_doctor(services: Served) -> Any:
    """Checks of settings, home, git, sandbox, ledger, broker, workers and dispatcher, as seen from
    this server, each with the mend.
    """
    return {
        "items": [asdict(each) for each in examine(lambda: nullcontext(services.ledger))],
        "next": None,
    }
