"""`/api/v1/audit`: what people did."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from vibe_tasks.store.audit import entries
from vibe_tasks.web.api.parts import PROBLEMS, Cursor, Limit, Served, Tagged, key_of, may, page
from vibe_tasks.web.models.kinds import Name, Page
from vibe_tasks.web.models.upkeep import AuditEntry

router = APIRouter(route_class=Tagged, tags=["upkeep"], responses=PROBLEMS)


@router.get("/audit", response_model=Page[AuditEntry], **may("admin"))
def list_audit(
    services: Served, *,
    target: Annotated[
        Name | None, Query(description="What was done to this, or what begins like this.")
    ] = None,
    actor: Annotated[Name | None, Query(description="What this person or token did.")] = None,
    action: Annotated[
        Name | None, Query(description="Such actions: `job.cancel`, or `job` for all on jobs.")
    ] = None,
    since: Annotated[
        float | None, Query(ge=0, le=1e12, allow_inf_nan=False, description="Seconds since 1970.")
    ] = None,
    limit: Limit = 100, cursor: Cursor = None,
) -> Any:  # fmt: skip
    """What people did, newest first: who, what, when and from where."""
    key = key_of(cursor, int)
    with services.ledger.read() as connection:
        found = entries(
            connection, target=target, actor=actor, action=action, since=since, limit=limit + 1,
            before=key[0] if key else None,
        )  # fmt: skip
    rows, after = page(found, limit, lambda row: (row["id"],))
    return {"items": rows, "next": after}
