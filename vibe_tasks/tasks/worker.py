"""The embedded stack's worker: `python -m vibe_tasks.tasks.worker NAME PROCESSES LANES`.

The same worker as `celery -A vibe_tasks worker` starts. Celery's command line imports every
command that any installed package adds to it, Flower's web server among them; a first job
should not wait half a second for that. Fleets use Celery's command.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence

from vibe_tasks.tasks import resources
from vibe_tasks.tasks.app import app

WATCHED = "--watched"
"""Send events and heartbeats, for Flower."""


def main(argv: Sequence[str]) -> int:
    """Work until told to stop; the exit code.

    Args:
        argv: Name (before the host's), number of processes, or as `--autoscale` has it most and
            fewest with a comma between them, lanes with commas between them, and `--watched`
            where somebody listens.
    """
    name, processes, lanes, *flags = argv
    watched = WATCHED in flags
    most, _, least = processes.partition(",")
    worker = app.Worker(
        hostname=f"{name}@{socket.gethostname()}",
        pool_cls="prefork",
        concurrency=int(least or most),
        autoscale=processes if least else None,
        queues=lanes,
        loglevel=resources.settings().log_level,
        task_events=watched,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=not watched,
    )
    worker.start()
    return int(worker.exitcode or 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
