"""Processor time of the processes that take part in a round; it is steadier than a busy clock."""

from __future__ import annotations

import os
from collections.abc import Mapping

from psutil import Process


def processor_seconds(pids: Mapping[str, int]) -> dict[str, float]:
    """User and system seconds so far, of the producer and of each part by name.

    A worker's pool is told apart from its main process; of an SQL server nothing is seen.

    Args:
        pids: Process ids by name; `ours` and `bare` are workers.
    """
    spent = {"producer": _of(Process(os.getpid()))}
    for name, pid in pids.items():
        process = Process(pid)
        spent[name] = _of(process)
        spent[f"{name} pool"] = sum(_of(child) for child in process.children(recursive=True))
    return spent


def _of(process: Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
