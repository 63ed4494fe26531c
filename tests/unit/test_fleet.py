"""The setting that says which lanes are scaled."""

from __future__ import annotations

from typing import Any

import pytest

from vibe_tasks.errors import SettingsError
from vibe_tasks.fleet import FleetLane, parse_fleet
from vibe_tasks.setting_sources import read_settings
from vibe_tasks.settings import Settings
from vibe_tasks.tasks.schedule import SCHEDULE, schedule_of


def test_an_entry_names_lane_provisioner_and_bounds():
    """Slots and target may be left out: they are the provisioner's usual ones."""
    text = "code=process:1:8, qa=kubernetes:0:20:4, gpu=kubernetes/big-ones:1:2, x=virtual:0:3"
    assert parse_fleet(text.split(",")) == (
        FleetLane(lane="code", provisioner="process", least=1, most=8),
        FleetLane(lane="qa", provisioner="kubernetes", least=0, most=20, slots=4,
                  target="vibe-worker-qa"),
        FleetLane(lane="gpu", provisioner="kubernetes", least=1, most=2, target="big-ones"),
        FleetLane(lane="x", provisioner="virtual", least=0, most=3, slots=3),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("code", "is not of the form LANE=PROVISIONER"),
        ("code=process:1", "is not of the form"),
        ("worker.a=process:1:8", "no lane begins with 'worker.'"),
        ("code=process:one:8", "'one' must be a whole number"),
        ("code=proces:1:8", "webhook, did you mean 'process'?"),
        ("code=process:9:8", "need 0 <= MIN <= MAX, got 9 and 8"),
        ("code=process:1:8:0", "SLOTS must be 1 or more"),
        ("code=process/x:1:8", "only kubernetes takes a target"),
        ("a lane=process:1:8", "lane must be of letters"),
        ("Code=kubernetes:1:8", "no Deployment can be called 'vibe-worker-Code'"),
        ("code=process:1:8,code=virtual:0:1", "lane code has two entries"),
        ("code=webhook:0:1", "needs VIBE_FLEET_WEBHOOK, which is not set"),
    ],
)
def test_a_wrong_entry_stops_the_start_with_one_line(text: str, said: str):
    """It names the variable and what is wrong."""
    with pytest.raises(SettingsError) as caught:
        read_settings({"VIBE_FLEET": text}, {})
    assert said in str(caught.value)
    assert str(caught.value).startswith("VIBE_FLEET: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "table",
    [
        {"fleet": "code=process:1:8,qa=virtual:0:2"},
        {"fleet": ["code=process:1:8", "qa=virtual:0:2"]},
        {"fleet": {"code": "process:1:8", "qa": "virtual:0:2"}},
    ],
)
def test_the_file_may_have_a_table(table: dict[str, Any]):
    """A text, a list or a table say the same."""
    settings, _ = read_settings({}, table)
    assert settings.fleet == ("code=process:1:8", "qa=virtual:0:2")


def test_no_lane_is_scaled_unless_somebody_says_so():
    """The default is nothing; what the webhook is told is nobody's to see."""
    assert parse_fleet(Settings().fleet) == ()
    environ = {"VIBE_FLEET_SECRET": "s3", "VIBE_FLEET_WEBHOOK": "https://host/hidden"}
    _, listing = read_settings(environ, {})
    shown = {each.name: each.value for each in listing}
    assert (shown["fleet_secret"], shown["fleet_webhook"]) == ("***", "https://host/***")


def test_the_settings_say_how_often_the_fleet_is_looked_at():
    """And the schedule's other entries stay as they are; a late tick is dropped."""
    made = schedule_of(scale_seconds=60.0)
    assert made["scale"]["schedule"] == 60.0
    assert 0 < made["scale"]["options"]["expires"] <= 60.0
    assert SCHEDULE["scale"]["schedule"] == Settings().scale_seconds
    assert {**made, "scale": None} == {**SCHEDULE, "scale": None}
