"""Everything that can go wrong, as one tree.

VibeError
├── InputError              bad input or settings: one line, exit code 2
│   ├── PlanError           a plan file that cannot be accepted
│   ├── SettingsError       a setting that is unknown or has a wrong value
│   ├── RepositoryError     a repository that cannot be worked on
│   ├── SchemaError         a database of another schema version
│   ├── MovedError          a ledger that was left, or a copy that is not finished
│   ├── UnavailableError    a server that does not answer
│   ├── AccessError         a server that does not let us in
│   ├── UnknownWorkerError  no such worker
│   └── DuplicateJobError   a job with an id that another job has
├── LedgerError
│   ├── UnknownJobError     no such job
│   ├── IllegalMoveError    a status change that is not allowed
│   └── LeaseLostError      the attempt is no longer the job's current one
├── AttemptError            an attempt at a job failed
│   ├── TransientError      worth another attempt
│   ├── PermanentError      another attempt would fail the same way
│   └── StoppedError        the agent was ended for a reason of ours
├── GitError                a git command failed
├── BudgetReachedError      the work waits until a person raises a budget
├── Snooze                  inside a job: run it later, no failure counted
│   ├── UsageLimitError     the agent's provider refuses until a moment
│   └── CircuitBreakerOpenError  the other side failed too often lately
└── Cancel                  inside a job: end it, no retry
"""

from __future__ import annotations

from math import inf


class VibeError(Exception):
    """Base of all errors of this package."""


class InputError(VibeError):
    """Bad input or settings; the message is one line that a person can act on."""


class PlanError(InputError):
    """A plan file that cannot be accepted.

    Args:
        message: What is wrong, in one line.
        file: The plan file as the user named it.
        line: Line in the file, counted from 1, where it is known.
        key: Path of the offending key, such as `tasks[2].needs`.
        others: What else is wrong, a line each, place included.
    """

    def __init__(
        self,
        message: str,
        *,
        file: str = "",
        line: int | None = None,
        key: str = "",
        others: tuple[str, ...] = (),
    ) -> None:
        place = ":".join(str(part) for part in (file, line) if part)
        first = ": ".join(part for part in (place, key, message) if part)
        super().__init__("\n".join((first, *others)))
        self.file = file
        self.line = line
        self.key = key


class SettingsError(InputError):
    """A setting that is unknown or has a wrong value."""


class RepositoryError(InputError):
    """A repository that is missing, has uncommitted changes or lacks the base branch."""


class SchemaError(InputError):
    """The database's schema is newer or older than this program can use."""


class MovedError(InputError):
    """Work goes on elsewhere: the ledger was moved, or this is a copy that is not finished."""


class UnavailableError(InputError):
    """A server that the settings name does not answer."""


class AccessError(InputError):
    """A server wants a token, or another one."""


class UnknownWorkerError(InputError):
    """No worker of that name."""


class DuplicateJobError(InputError):
    """A job was submitted under the id of another one."""


class LedgerError(VibeError):
    """The ledger refused an operation."""


class UnknownJobError(LedgerError):
    """No job, task or plan of that id."""


class IllegalMoveError(LedgerError):
    """A status change that `jobs.MOVES` does not list."""


class LeaseLostError(LedgerError):
    """The attempt is no longer the job's current one; what it wanted to write is refused."""


class AttemptError(VibeError):
    """An attempt at a job failed."""


class TransientError(AttemptError):
    """A failure that another attempt may not meet.

    Args:
        message: What failed.
        retry_after: Seconds to wait before the next attempt where the other side said so.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class PermanentError(AttemptError):
    """A failure that every further attempt would meet as well."""


class StoppedError(AttemptError):
    """An agent was ended for a reason that is not its own, which the message tells."""


class GitError(VibeError):
    """A git command failed; the message holds the command and what it said."""


class Snooze(VibeError):
    """Raise inside a job to run it later without counting a failure.

    Args:
        seconds: How long to wait from now. Zero or more.
        why: What for; kept in the job's history.
    """

    def __init__(self, seconds: float, why: str = "") -> None:
        if not 0 <= seconds < inf:
            raise ValueError(f"seconds must be zero or more, got {seconds}")
        super().__init__(why or f"snoozed for {seconds} s")
        self.seconds = seconds

    def __reduce__(self) -> tuple[type[Snooze], tuple[str | float, ...]]:
        # By default it would be built from its message.
        return type(self), (self.seconds, str(self))


class UsageLimitError(Snooze):
    """An agent's provider takes no more work until a moment; the attempt costs nothing.

    Args:
        message: What it said.
        seconds: Until it is worth another try. Zero or more.
    """

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(seconds, message)

    def __reduce__(self) -> tuple[type[Snooze], tuple[str | float, ...]]:
        return type(self), (str(self), self.seconds)


class CircuitBreakerOpenError(Snooze):
    """A breaker is open: the call was not made.

    Args:
        name: The breaker.
        seconds: Until it is worth another try. Zero or more.
    """

    def __init__(self, name: str, seconds: float) -> None:
        super().__init__(seconds, self.text(name))
        self.name = name

    @staticmethod
    def text(name: str) -> str:
        """What a job that waits for this breaker has as its error."""
        return f"circuit breaker {name} is open"

    def __reduce__(self) -> tuple[type[Snooze], tuple[str | float, ...]]:
        return type(self), (self.name, self.seconds)


class BudgetReachedError(VibeError):
    """A budget is used up: the work waits until a person raises it; the message says which."""


class Cancel(VibeError):
    """Raise inside a job to end it for good; the argument says why."""
