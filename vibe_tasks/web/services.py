"""What the web application is made of: one value that every router is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vibe_tasks.settings import Settings
from vibe_tasks.store.engine import Database
from vibe_tasks.web.security import Access

if TYPE_CHECKING:
    from vibe_tasks.web.hub import Hub
    from vibe_tasks.web.intake import Intake


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The parts of one web process.

    Attributes:
        settings: The effective settings.
        ledger: The ledger, its schema verified at the start.
        access: Who may come in.
        now: Epoch seconds.
        monotonic: Seconds on a clock that never goes back.
        intake: Takes events in.
        hub: Gives events out.
    """

    settings: Settings
    ledger: Database
    access: Access
    now: Callable[[], float]
    monotonic: Callable[[], float]
    intake: Intake
    hub: Hub
