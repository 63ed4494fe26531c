"""Forking while nobody uses the database: what SQLite asks of a process that forks.

SQLite keeps the table of its locks in the process's memory, for each file and not for each
connection. A process that is forked while a thread of its parent writes inherits a table in which
the file is locked, by somebody who is not there: it can never write, over no connection. So
a fork waits until nobody is in the middle of something.
Source: "How To Corrupt An SQLite Database File", section 2.6.
"""

from __future__ import annotations

import threading


class Uses:
    """Counts who uses a database at the moment; enter it for each use. Threads share it."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin anew, in a process that has just been forked: nobody else is there."""
        self._turn = threading.Condition()  # with a lock that its holder may take again
        self._users: dict[int, int] = {}

    def __enter__(self) -> None:
        me = threading.get_ident()
        with self._turn:
            self._users[me] = self._users.get(me, 0) + 1

    def __exit__(self, *_: object) -> None:
        me = threading.get_ident()
        with self._turn:
            left = self._users.pop(me, 1) - 1
            if left:
                self._users[me] = left
            else:
                self._turn.notify_all()

    def hold(self, patience: float) -> bool:
        """Wait until no other thread is in a use, and let none begin one until `release`.

        Args:
            patience: Seconds; after these it holds off new ones all the same.

        Returns:
            Whether there is no use now, neither another thread's nor this one's.
        """
        me = threading.get_ident()
        self._turn.acquire()
        self._turn.wait_for(lambda: not self._users.keys() - {me}, patience)
        return not self._users

    def release(self) -> None:
        """Let others begin again."""
        self._turn.release()
