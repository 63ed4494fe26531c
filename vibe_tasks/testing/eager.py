"""Jobs that run where a test calls them, through a real ledger."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from vibe_tasks.store.engine import Database
from vibe_tasks.tasks import publisher
from vibe_tasks.tasks.app import app
from vibe_tasks.tasks.in_place import InPlace
from vibe_tasks.testing.ledger import VibeLedger, id_of


class VibeEager(VibeLedger):
    """What the fixture `vibe_eager` gives: the ledger, and what runs its jobs.

    Args:
        database: The ledger's database.
        runner: What runs them.
    """

    def __init__(self, database: Database, runner: InPlace) -> None:
        super().__init__(database)
        self._runner = runner

    def run(self) -> int:
        """Run all that waits: for its time, for a lane that was paused; how many attempts.

        Each job that waits for its time gets one attempt, and the retries that follow from it; a
        job that snoozes again waits for the next call.

        Raises:
            InputError: A job's function is not known here, or it goes on for ever.
        """
        return self._runner.run()

    def retry(self, which: object) -> None:
        """As of `VibeLedger`; it is run, too."""
        super().retry(which)
        self._runner.take(())

    def waits(self, which: object) -> list[float]:
        """The seconds that this job would have waited, one for each wait, in order."""
        return list(self._runner.waits.get(id_of(which), ()))

    @contextmanager
    def held(self) -> Iterator[None]:
        """In here calls only write their jobs; they run at the end."""
        self._runner.holds = True
        try:
            yield
        finally:
            self._runner.holds = False
        self._runner.take(())


@contextmanager
def run_eagerly(database: Database) -> Iterator[VibeEager]:
    """Until the end of the `with` this process runs its jobs itself."""
    runner = InPlace(app, database)
    with publisher.taken_by(runner.take):
        yield VibeEager(database, runner)


@contextmanager
def run_nowhere(database: Database) -> Iterator[VibeLedger]:
    """Until the end of the `with` calls write jobs, and nobody runs them."""
    with publisher.taken_by(lambda _publications: None):
        yield VibeLedger(database)
