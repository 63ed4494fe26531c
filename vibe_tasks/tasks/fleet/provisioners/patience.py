"""Waiting for a provisioner no longer than it is given, whatever it calls."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

from vibe_tasks.store.engine import DATABASE_ERRORS
from vibe_tasks.tasks.fleet.provisioners.provisioner import ProvisionerError

log = logging.getLogger(__name__)

Result = TypeVar("Result")


def bounded_call(call: Callable[[], Result], *, seconds: float) -> Result:
    """The answer of a call that is given so many seconds.

    Raises:
        ProvisionerError: It took longer; it goes on in a thread of its own, and is nobody's.
    """
    answers: list[Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            answers.append(call())
        except (ProvisionerError, *DATABASE_ERRORS) as error:
            errors.append(error)
        except Exception as error:  # the edge of a thread: a client may raise what it likes
            log.exception("fleet: a provisioner failed")
            errors.append(ProvisionerError(f"{type(error).__name__}: {error}"))
        except BaseException as error:  # noqa: BLE001  raised where it was called
            errors.append(error)

    thread = threading.Thread(target=run, name="provisioner", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not answers:
        raise ProvisionerError(f"no answer within {seconds:g} s")
    return answers[0]
