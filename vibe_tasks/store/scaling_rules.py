"""The rules of scaling that were set for a lane while all runs, in place of the settings'.

In a table of their own: a row of `lanes` makes every claim of that lane lock it first.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from typing import TypeVar

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from vibe_tasks.scaling import ScalingPolicy
from vibe_tasks.settings import Settings
from vibe_tasks.store.lanes import MANY, Keep
from vibe_tasks.store.scaling_tables import scaling_rules

_R = scaling_rules.c

_Number = TypeVar("_Number", int, float)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What was set for one lane; None: as the settings say.

    Attributes:
        min_size: Fewest workers that scaling leaves the lane. Pools within workers have bounds
            of their own.
        max_size: Most workers that it gives the lane. At least 1.
        up_depth: More waiting jobs than this are a reason to grow.
        down_depth: As long as so many jobs wait, nothing shrinks. At least 1.
        up_age: Seconds that a due job may wait before that is a reason to grow.
        down_after: Seconds for which fewer must have been enough before anything shrinks.
    """

    min_size: int | None = None
    max_size: int | None = None
    up_depth: int | None = None
    down_depth: int | None = None
    up_age: float | None = None
    down_after: float | None = None

    def __post_init__(self) -> None:
        for name, least in (
            ("min_size", 0), ("max_size", 1), ("up_depth", 0), ("down_depth", 1), ("up_age", 0.0)
        ):  # fmt: skip
            value = getattr(self, name)
            if value is not None and not least <= value < MANY:
                raise ValueError(f"{name} must be from {least} to below {MANY}, got {value}")
        if self.down_after is not None and not 0 < self.down_after < MANY:
            raise ValueError(
                f"down_after must be above zero and below {MANY}, got {self.down_after}"
            )
        if self.max_size is not None and (self.min_size or 0) > self.max_size:
            raise ValueError(f"need min_size <= max_size, got {self.min_size} and {self.max_size}")

    def applied_to(self, policy: ScalingPolicy) -> ScalingPolicy:
        """This policy under these rules; what was not set gives way to what was."""
        least, most = _or(self.min_size, policy.min_size), _or(self.max_size, policy.max_size)
        if self.max_size is not None:
            least = min(least, most)
        up, down = _or(self.up_depth, policy.up_depth), _or(self.down_depth, policy.down_depth)
        if down > up + 1:
            up, down = (up, up + 1) if self.up_depth is not None else (down - 1, down)
        after = _or(self.down_after, policy.down_after)
        return replace(
            policy, min_size=least, max_size=max(least, most), up_depth=up, down_depth=down,
            up_age=_or(self.up_age, policy.up_age),
            down_after=after, drain_after=max(after, policy.drain_after),
        )  # fmt: skip


NAMES = tuple(field.name for field in fields(Rules))
"""What can be set."""


def _or(value: _Number | None, other: _Number) -> _Number:
    return other if value is None else value


def policy_of(settings: Settings) -> ScalingPolicy:
    """The rules of the settings; the bounds are for others to say."""
    return ScalingPolicy(
        up_depth=settings.scale_up_depth,
        down_depth=settings.scale_down_depth,
        up_age=settings.scale_up_age,
        up_cooldown=settings.scale_up_cooldown,
        down_after=settings.scale_down_after,
        down_cooldown=settings.scale_down_cooldown,
        drain_after=max(settings.scale_down_after, ScalingPolicy().drain_after),
    )


def rules_of(connection: Connection, lanes: Collection[str] | None = None) -> dict[str, Rules]:
    """The rules of these lanes, or of all; a lane for which nothing was set is left out."""
    wanted = select(scaling_rules)
    if lanes is not None:
        wanted = wanted.where(_R.lane.in_(sorted(lanes)))
    return {
        row["lane"]: Rules(**{name: row[name] for name in NAMES})
        for row in connection.execute(wanted).mappings()
    }


def set_rules(
    connection: Connection, lane: str, changes: Mapping[str, float | Keep | None]
) -> Rules:
    """Set or, with None, remove rules of a lane; those that hold from now on.

    Args:
        connection: A writing transaction.
        lane: The lane.
        changes: Values by the names of `Rules`; others stay as they are.

    Raises:
        ValueError: They are out of bounds, or do not go with those that were set before.
    """
    before = _locked(connection, lane)
    given = {name: value for name, value in changes.items() if value is not Keep.AS_IT_IS}
    after = replace(before, **given)  # type: ignore[arg-type]
    if after.up_depth is not None and (after.down_depth or 1) > after.up_depth + 1:
        raise ValueError(
            f"down_depth must be at most up_depth + 1, got {after.down_depth} and {after.up_depth}"
        )
    values = {name: getattr(after, name) for name in NAMES}
    if after == Rules():
        connection.execute(delete(scaling_rules).where(_R.lane == lane))
    else:
        connection.execute(scaling_rules.update().where(_R.lane == lane).values(values))
    return after


def _locked(connection: Connection, lane: str) -> Rules:
    """The lane's rules, whose row is made where it is missing and locked."""
    kind = sqlite if connection.dialect.name == "sqlite" else postgresql
    row = kind.insert(scaling_rules).values(lane=lane)
    connection.execute(
        row.on_conflict_do_update(index_elements=[_R.lane], set_={"lane": row.excluded.lane})
    )
    return rules_of(connection, [lane])[lane]
