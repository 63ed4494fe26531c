"""Whether the servers of this deployment answer."""

from __future__ import annotations

from vibe_tasks.errors import UnavailableError
from vibe_tasks.tasks import resources
from vibe_tasks.tasks.broker_socket import stack_answers


def require_broker() -> None:
    """Refuse to go on without a broker.

    Raises:
        UnavailableError: It does not answer, or no stack runs here.
    """
    if resources.settings().broker_url:
        # Most deployments are asked for their socket alone: that needs no client.
        from vibe_tasks.tasks.broker_probe import probe  # noqa: PLC0415

        probe(resources.broker_url())
    elif not stack_answers():
        raise UnavailableError(
            f"no stack runs in {resources.home()}: start one with `vibe up`, "
            "set VIBE_BROKER_URL, or use `vibe run`"
        )
