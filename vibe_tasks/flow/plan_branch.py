"""The branch of a plan's result: made before the plan is written, so that no plan is without one.

A remote may take its time, and the ledger may have one writer: none of this is done in one of its
transactions. Killed at any point, it can be done again: what is being made is noted before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vibe_tasks.errors import InputError, RepositoryError
from vibe_tasks.workspace.repository import Repository
from vibe_tasks.workspace.turns import Turn


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanBranch:
    """Where a plan's result goes.

    Attributes:
        repository: The plan's.
        name: Of the branch.
        base: The commit that it is to begin at.
    """

    repository: Repository
    name: str
    base: str

    def refuse_checked_out(self) -> None:
        """Refuse a branch that somebody has checked out.

        Raises:
            RepositoryError: Somebody has.
        """
        where = self.repository.checked_out_at(self.name)
        if where is not None:
            raise RepositoryError(
                f"branch {self.name} is checked out at {where}; check out another one"
            )

    def make(self, turn: Turn, *, fresh: bool, moved: Callable[[str], None]) -> str | None:
        """See to it that the branch stands at the base; what one in the way is called now, if any.

        Args:
            turn: At submitting the plan. What it notes stays until the plan is written.
            fresh: Whether one that is in the way is renamed.
            moved: Called with its new name when it was.

        Raises:
            InputError: There is one from elsewhere.
            RepositoryError: It cannot be made, or is checked out somewhere.
            GitError: The remote cannot be reached.
        """
        stands = self.repository.glance(self.name)
        if stands is not None and self._is_empty(turn, stands):
            self._move(turn, stands)
            return None
        aside = None
        if stands is not None:
            if not fresh:
                raise InputError(
                    f"{self.repository.place} has a branch {self.name} from elsewhere; --fresh (in "
                    "Python: fresh=True) starts over and keeps it under another name"
                )
            self.refuse_checked_out()
            aside = self.repository.set_aside(self.name)
            moved(aside)
        turn.write(self._note(self.base))
        self.repository.create_branch(self.name, self.base)
        return aside

    def _is_empty(self, turn: Turn, stands: str) -> bool:
        """Whether it was made for a plan that was never written."""
        if turn.note == self._note(stands):
            return True
        # Another host may have made it, and died.
        return self.repository.address is not None and stands == self.base

    def _move(self, turn: Turn, stands: str) -> None:
        """Move the empty branch to the base, which may be another than at the first try."""
        self.refuse_checked_out()
        if stands == self.base:
            return
        turn.write(self._note(self.base))
        ref = f"refs/heads/{self.name}"
        if not self.repository.move_ref(ref, new=self.base, old=stands):
            raise RepositoryError(f"branch {self.name} of {self.repository.place} has moved")

    def _note(self, commit: str) -> str:
        return f"{self.repository.place} {self.name} {commit}\n"
