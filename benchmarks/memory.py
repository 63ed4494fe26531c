"""Memory of a worker against bare Celery's: `python benchmarks/memory.py`."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping

from psutil import NoSuchProcess, Process
from report import show
from servers import HERE, both_workers, environment, folder, ledger_url, running

CONCURRENCY = 2
METHOD = (
    f"Megabytes of the processes of each worker, {CONCURRENCY} in its pool, on SQLite: after the "
    "first jobs, and after {jobs:,} no-op jobs more on each side. RSS counts pages that processes "
    "share in each of them; PSS divides those among them, so that sums are true."
)
MEGABYTE = 2**20


def sizes(pids: Mapping[str, int]) -> dict[str, tuple[float, float]]:
    """RSS and PSS of each process by name; a pool's are added up."""
    found = {}
    for name, pid in pids.items():
        process = Process(pid)
        found[name] = _size(process)
        children = [_size(child) for child in process.children(recursive=True)]
        if children:
            found[f"{name} pool"] = (
                sum(rss for rss, _ in children),
                sum(pss for _, pss in children),
            )
    return found


def _size(process: Process) -> tuple[float, float]:
    try:
        memory = process.memory_full_info()
    except NoSuchProcess:
        return 0.0, 0.0
    pss = getattr(memory, "pss", memory.uss)  # PSS is Linux's alone
    return memory.rss / MEGABYTE, pss / MEGABYTE


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few jobs, to see that it works")
    jobs = 100 if parser.parse_args().quick else 10_000
    with folder() as home, ledger_url("sqlite", home) as url:
        environ = environment(home, url)
        with running(home, environ, both_workers(CONCURRENCY)) as stack:
            pids = dict(stack.pids)
            producer = [sys.executable, str(HERE / "producer.py")]

            def drive(size: int) -> None:
                numbers = [str(number) for number in (1, size, 1, 50)]
                subprocess.run(
                    [*producer, *numbers, json.dumps(pids)],
                    env=environ, stdout=subprocess.DEVNULL, check=True,
                )  # fmt: skip

            drive(50)
            before = sizes(pids)
            drive(jobs)
            after = sizes(pids)
    names = {
        "bare": "bare Celery, worker", "bare pool": f"bare Celery, pool of {CONCURRENCY}",
        "ours": "vibe_tasks, worker", "ours pool": f"vibe_tasks, pool of {CONCURRENCY}",
        "dispatcher": "vibe_tasks, dispatcher", "valkey": "Valkey, both sides' messages",
    }  # fmt: skip
    table = [
        [told, *(f"{value:.0f}" for value in (*before[name], *after[name])),
         f"{after[name][1] - before[name][1]:+.1f}"]
        for name, told in names.items()
    ]  # fmt: skip
    show(
        "Memory", METHOD.format(jobs=jobs),
        ["process", "RSS", "PSS", "RSS after", "PSS after", "PSS growth"], table,
    )  # fmt: skip


if __name__ == "__main__":
    main()
