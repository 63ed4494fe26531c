"""`celery -A APP worker` and `beat`, without the commands that installed packages add to Celery's.

Celery imports all of those first, and Flower brings a web server: a third of a worker's start.
"""

from __future__ import annotations

import sys

from celery.app.utils import find_app
from celery.bin.base import CLIContext
from celery.bin.beat import beat
from celery.bin.worker import worker

COMMANDS = {"worker": worker, "beat": beat}

if __name__ == "__main__":
    _, app, name, *options = sys.argv[1:]
    context = CLIContext(app=find_app(app), no_color=True, workdir=None, quiet=False)
    COMMANDS[name].main(options, prog_name=f"celery {name}", obj=context)
