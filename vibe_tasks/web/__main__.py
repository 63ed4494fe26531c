"""The web server as a container or the embedded stack runs it: `python -m vibe_tasks.web`.

Everything about it comes from the settings.
"""

from __future__ import annotations

import logging
import sys

from vibe_tasks.errors import InputError
from vibe_tasks.tasks import resources
from vibe_tasks.tasks.observation import logs

REFUSED = 2
"""Exit code for bad settings and for a ledger that cannot be used, as the `vibe` command's."""

log = logging.getLogger("vibe_tasks.web")


def main() -> int:
    """Serve until SIGTERM; the exit code."""
    try:
        settings = resources.settings()
        # What the API needs makes a Celery app, which reads the settings: they were checked before.
        from vibe_tasks.web.run import run_web  # noqa: PLC0415

        logs.set_up(settings)
        run_web(
            settings, resources.ledger(), processes=1,
            ready=lambda url: log.info("listening on %s", url),
        )  # fmt: skip
    except InputError as error:
        sys.stderr.write(f"vibe: {' '.join(str(error).split())}\n")
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
