from __future__ import annotations

from pathlib import Path

import pytest

from vibe_tasks.flow.views.registry import registry
from vibe_tasks.flow.views.unserved import Unserved
from vibe_tasks.tasks.checkup.machine import file_system

MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
/dev/sdb1 /home/me/with\\040space xfs rw 0 0
tmpfs /home/me/twice tmpfs rw 0 0
/dev/sdc1 /home/me/twice btrfs rw 0 0
odd line
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/srv/x", "ext4"),
        ("/home", "nfs4"),
        ("/home/you/.vibe", "nfs4"),
        ("/homes", "ext4"),
        ("/home/me/with space/.vibe", "xfs"),
        ("/home/me/twice", "btrfs"),
    ],
)
def test_the_nearest_mount_decides(folder: str, kind: str) -> None:
    """The deepest mount point above the folder, and of two on one point the later."""
    assert file_system(Path(folder), MOUNTS) == kind


def test_without_a_list_of_mounts_nothing_is_claimed() -> None:
    """There is no /proc on macOS."""
    assert file_system(Path("/srv"), "") == ""


def test_a_silent_worker_is_lost() -> None:
    """One entry for each worker; `online` without a sign of life for a lease is not believed."""
    row = {"tier": "standard", "active_tasks": 1, "capacity_limit": 2, "last_seen": 0.0}
    rows = [
        {**row, "worker_id": "a", "lane": "code", "status": "online", "age": 3.0},
        {**row, "worker_id": "a", "lane": "qa", "status": "online", "age": 3.0},
        {**row, "worker_id": "b", "lane": "qa", "status": "online", "age": 31.0},
        {**row, "worker_id": "c", "lane": "qa", "status": "offline", "age": 99.0},
    ]
    found = registry(rows, lease=30.0)
    assert [(each["worker_id"], each["status"], each["lanes"]) for each in found] == [
        ("a", "online", ["code", "qa"]),
        ("b", "lost", ["qa"]),
        ("c", "offline", ["qa"]),
    ]


@pytest.mark.parametrize(("lane", "again"), [("code", True), ("control", False)])
def test_a_plan_that_has_ended_is_not_run_again_for_its_messages(lane: str, again: bool) -> None:
    """Those of the lane `control` are delivered by any stack; a plan's own work by either."""
    mend = Unserved(lane=lane, due=1, seconds=1.0).mend(embedded=True)
    assert " up" in mend
    assert ("run of the plan again" in mend) is again
