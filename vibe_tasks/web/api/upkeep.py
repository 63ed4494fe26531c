"""The ledger's upkeep, settings and the doctor: `vibe db`, `vibe config`, `vibe doctor`."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter

from vibe_tasks.flow import archiving
from vibe_tasks.retention import keeping
from vibe_tasks.store.audit import note_apart
from vibe_tasks.store.upgrade import differences
from vibe_tasks.store.vacuum import MOST_SLICES, vacuum
from vibe_tasks.store.version import found_version
from vibe_tasks.tasks import resources
from vibe_tasks.tasks.doctor import examine
from vibe_tasks.web.api.parts import PROBLEMS, Asker, Served, Tagged, may
from vibe_tasks.web.models.kinds import Page
from vibe_tasks.web.models.upkeep import (
    Archived,
    ArchiveGiven,
    Config,
    Finding,
    Schema,
    Vacuumed,
)

MOST_SECONDS = 30.0
"""Of archiving in one request."""

MOST_FOLDERS = 5_000
"""Of attempts' files that one request deletes."""

router = APIRouter(route_class=Tagged, tags=["upkeep"], responses=PROBLEMS)


@router.get("/db", response_model=Schema, **may("admin"))
def check_db(services: Served) -> Any:
    """The schema's version, and where the database differs from what this program expects."""
    return {"version": found_version(services.ledger), "differences": differences(services.ledger)}


@router.post("/db/archive", response_model=Archived, **may("admin"))
def archive_db(services: Served, by: Asker, body: ArchiveGiven) -> Any:
    """Move old history and jobs to the archive, and delete what the settings keep no longer; for
    half a minute at most, while workers go on.
    """
    settings = services.settings
    kept = keeping(settings).but(history_days=body.days, jobs_days=body.jobs_days)
    tidied = archiving.tidy(
        services.ledger, kept, monotonic=resources.monotonic, pause=resources.pause,
        seconds=MOST_SECONDS,
    )  # fmt: skip
    folders = archiving.remove_old_attempts(
        services.ledger, resources.home(), settings.attempts_days, most=MOST_FOLDERS
    )
    told = archiving.figures(services.ledger, tidied, folders=folders)
    note_apart(services.ledger, by, "db.archive", None, told)
    return {**told, "more": tidied.more}


@router.post("/db/vacuum", response_model=Vacuumed, **may("admin"))
def vacuum_db(services: Served, by: Asker) -> Any:
    """Give back the room of what was deleted, while workers go on; on SQLite for some fifteen
    seconds at most.
    """
    done = vacuum(
        services.ledger, monotonic=resources.monotonic, pause=resources.pause, most=MOST_SLICES
    )
    figures = {"before": done.before.size, "after": done.after.size, "full": False}
    note_apart(services.ledger, by, "db.vacuum", None, figures)
    return asdict(done)


@router.get("/config", response_model=Config, **may("admin"))
def show_config() -> Any:
    """Every setting of this server, its value and where it came from; secrets are masked."""
    settings, in_use = resources.shown_settings()
    return {"settings": [asdict(each) for each in settings], "in_use": in_use}


@router.get("/doctor", response_model=Page[Finding], **may("admin"))
def show_doctor(services: Served) -> Any:
    """Checks of this server's machine, the broker, the ledger, the clocks, the workers and the
    work, each with the mend.
    """
    return {
        "items": [asdict(each) for each in examine(lambda: nullcontext(services.ledger))],
        "next": None,
    }
