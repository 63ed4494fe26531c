"""The sizes that rules chose over time, as pictures."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path

from scaling_fleet import Outcome
from scaling_load import HOUR, Job

SHOWN = ("fixed maximum", "thresholds 10/2", "queue length", "ours")


def can_draw() -> bool:
    """Whether matplotlib is installed (the extra `benchmarks`)."""
    return find_spec("matplotlib") is not None


def draw(folder: Path, name: str, jobs: Sequence[Job], outcomes: Mapping[str, Outcome]) -> None:
    """Write a picture of a load: the work that has come, and units by rule."""
    figures = import_module("matplotlib.figure")  # optional, and slow to import
    figure = figures.Figure(figsize=(11, 7), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1, 2))
    moments = [job.at / HOUR for job in jobs]
    above.plot(moments, list(accumulate(job.seconds / HOUR for job in jobs)), color="black")
    above.set_ylabel("hours of work so far")
    above.set_title(f"{name}: {len(jobs):,} jobs")
    for rule in SHOWN:
        sizes = outcomes[rule].sizes
        below.step([now / HOUR for now, _ in sizes], [size for _, size in sizes], where="post",
                   label=rule, linewidth=2.0 if rule == "ours" else 1.0)  # fmt: skip
    below.set_ylabel("units")
    below.set_xlabel("hours")
    below.legend(loc="upper right")
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / f"scaling-{'-'.join(re.findall(r'[a-z0-9]+', name))}.png", dpi=100)
