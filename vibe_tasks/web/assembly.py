"""Building the parts of one web process out of its settings."""

from __future__ import annotations

from vibe_tasks.settings import Settings
from vibe_tasks.store.engine import Database
from vibe_tasks.tasks import resources
from vibe_tasks.web.hub import open_hub
from vibe_tasks.web.intake import open_intake
from vibe_tasks.web.security import access_of
from vibe_tasks.web.services import Services


def assemble(settings: Settings, ledger: Database) -> Services:
    """The parts of this process; the application starts and stops them."""
    hub = open_hub(settings, ledger)
    return Services(
        settings=settings, ledger=ledger, access=access_of(settings), now=resources.wall_clock,
        monotonic=resources.monotonic, intake=open_intake(settings, ledger, hub), hub=hub,
    )  # fmt: skip
