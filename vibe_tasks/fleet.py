"""Which lanes have their workers scaled, by what, and between which bounds.

One entry for each lane: `LANE=PROVISIONER[/TARGET]:MIN:MAX[:SLOTS]`, such as `code=process:1:8` or
`qa=kubernetes/worker-qa:1:20:4`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from vibe_tasks.lane_name import why_no_lane
from vibe_tasks.suggestion import did_you_mean

PROVISIONERS = {"virtual": 3, "process": 1, "kubernetes": 1, "webhook": 1}
"""Slots of a worker of each, where the entry does not say; three of a virtual one is the design
document's (feature 15)."""

DEPLOYMENT = "vibe-worker-{lane}"
"""What a lane's Deployment is called, where the entry does not say."""

_FORM = "LANE=PROVISIONER[/TARGET]:MIN:MAX[:SLOTS]"
_DEPLOYMENT = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetLane:
    """A lane under fleet control.

    Attributes:
        lane: Its name.
        provisioner: What starts and ends its workers, one of `PROVISIONERS`.
        least: Fewest workers.
        most: Most workers.
        slots: Jobs that one of its workers takes at once. At least 1.
        target: What the provisioner scales, where it needs a name: a Deployment.
    """

    lane: str
    provisioner: str
    least: int
    most: int
    slots: int = 1
    target: str = ""

    def __post_init__(self) -> None:
        if why := why_no_lane(self.lane):
            raise ValueError(why)
        if self.provisioner not in PROVISIONERS:
            raise ValueError(
                f"no provisioner {self.provisioner!r}; there are "
                f"{', '.join(sorted(PROVISIONERS))}{did_you_mean(self.provisioner, PROVISIONERS)}"
            )
        if not 0 <= self.least <= self.most:
            raise ValueError(f"lane {self.lane}: need 0 <= MIN <= MAX, got {self.least} and "
                             f"{self.most}")  # fmt: skip
        if self.slots < 1:
            raise ValueError(f"lane {self.lane}: SLOTS must be 1 or more, got {self.slots}")
        if self.provisioner == "kubernetes" and not _DEPLOYMENT.fullmatch(self.target):
            raise ValueError(f"lane {self.lane}: no Deployment can be called {self.target!r}; "
                             "name it: kubernetes/NAME")  # fmt: skip


def parse_fleet(entries: Iterable[str]) -> tuple[FleetLane, ...]:
    """The lanes of these entries, in their order.

    Raises:
        ValueError: An entry is wrong, or a lane has two.
    """
    found: dict[str, FleetLane] = {}
    for entry in entries:
        lane = _parsed(entry)
        if lane.lane in found:
            raise ValueError(f"lane {lane.lane} has two entries")
        found[lane.lane] = lane
    return tuple(found.values())


def _parsed(entry: str) -> FleetLane:
    lane, sign, rest = entry.strip().partition("=")
    how, *numbers = (part.strip() for part in rest.split(":"))
    if not sign or len(numbers) not in {2, 3}:
        raise ValueError(f"{entry.strip()!r} is not of the form {_FORM}")
    for number in numbers:
        if not (number.isascii() and number.isdecimal() and len(number) < 7):
            raise ValueError(f"{entry.strip()!r}: {number!r} must be a whole number, in {_FORM}")
    provisioner, slash, target = how.partition("/")
    if slash and provisioner != "kubernetes":
        raise ValueError(f"{entry.strip()!r}: only kubernetes takes a target")
    if provisioner == "kubernetes" and not slash:
        target = DEPLOYMENT.format(lane=lane.strip())
    least, most, slots = (*map(int, numbers), PROVISIONERS.get(provisioner, 1))[:3]
    return FleetLane(
        lane=lane.strip(), provisioner=provisioner, least=least, most=most, slots=slots,
        target=target,
    )  # fmt: skip
