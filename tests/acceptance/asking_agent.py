"""An agent that needs an endpoint: asks it once, and writes a file when it answers."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen


def main() -> int:
    """0, or 75 where the endpoint does not do its part."""
    try:
        with urlopen(sys.argv[1], timeout=60):  # noqa: S310  the test's own server
            Path(f"{os.environ['VIBE_TASK_ID']}.txt").write_text("asked", encoding="utf-8")
    except URLError as error:
        print(f"the endpoint says {error}")
        return 75
    return 0


if __name__ == "__main__":
    sys.exit(main())
