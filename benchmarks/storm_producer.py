"""The producer of the storm: calls `.delay()` until told to stop, and notes what it was told.

Run by `storm.py`: `python storm_producer.py SEED CALLS_A_SECOND FILE`.
"""

from __future__ import annotations

import json
import random
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import storm_jobs as made

from vibe_tasks.errors import IllegalMoveError, VibeError
from vibe_tasks.flow import control
from vibe_tasks.store.engine import DATABASE_ERRORS
from vibe_tasks.tasks import resources

BATCH = 10
"""Jobs of one `submit_many`."""


class Producer:
    """Makes calls of all kinds, in a seeded order.

    Args:
        seed: Of its choices.
        file: Where it notes them.
    """

    def __init__(self, seed: int, file: Path) -> None:
        self._random = random.Random(seed)
        self._file = file.open("a", encoding="utf-8")
        self._latest: deque[str] = deque(maxlen=50)
        self._calls: dict[Callable[[], list[Any]], int] = {
            self._plain: 60, self._later: 8, self._keyed: 8, self._failing: 8, self._dozing: 4,
            self._dying: 4, self._long: 5, self._many: 2, self._cancelling: 3,
        }  # fmt: skip

    def call(self) -> None:
        """One call; an error of the ledger is the answer that the caller gets."""
        (chosen,) = self._random.choices(list(self._calls), list(self._calls.values()))
        began = time.monotonic()
        try:
            results = chosen()
        except (VibeError, *DATABASE_ERRORS) as error:
            self._note(refused=type(error).__name__, took=time.monotonic() - began)
            return
        for result in results:
            self._note(job=result.id, took=time.monotonic() - began)
            self._latest.append(result.id)

    def _short(self) -> dict[str, float]:
        return {"seconds": round(self._random.uniform(0.0, 0.15), 3)}

    def _plain(self) -> list[Any]:
        priority = self._random.choice(["high", "normal", "low"])
        return [made.work.apply_async(kwargs=self._short(), priority=priority)]

    def _later(self) -> list[Any]:
        wait = self._random.uniform(0.5, 5.0)
        return [made.work.apply_async(kwargs=self._short(), countdown=wait)]

    def _keyed(self) -> list[Any]:
        key = f"key-{self._random.randrange(20)}"
        return [made.work.apply_async(kwargs=self._short(), unique_key=key)]

    def _failing(self) -> list[Any]:
        return [made.stumble.delay(**self._short(), failures=self._random.randint(1, 3))]

    def _dozing(self) -> list[Any]:
        return [made.doze.delay(**self._short())]

    def _dying(self) -> list[Any]:
        return [self._random.choice([made.refuse, made.wear_out]).delay(**self._short())]

    def _long(self) -> list[Any]:
        return [made.work.delay(seconds=round(self._random.uniform(1.0, 6.0), 3))]

    def _many(self) -> list[Any]:
        return list(made.work.submit_many([self._short() for _ in range(BATCH)]))

    def _cancelling(self) -> list[Any]:
        if self._latest:
            chosen = self._random.choice(self._latest)
            with suppress(IllegalMoveError):  # it has ended
                control.cancel_job(resources.ledger(), chosen, "the producer changed its mind")
        return []

    def _note(self, **fields: Any) -> None:
        self._file.write(f"{json.dumps(fields)}\n")
        self._file.flush()


def main() -> None:
    """Call until SIGTERM."""
    seed, rate, file = int(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3])
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    producer = Producer(seed, file)
    while not stop.wait(1 / rate):
        producer.call()


if __name__ == "__main__":
    main()
