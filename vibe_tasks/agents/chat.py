"""An agent that is a language model over HTTP, with file tools confined to the worktree.

The libraries that talk to models are an extra and take two seconds to import: they are imported
when a chat agent works, and by nothing else.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec

from vibe_tasks.agents.agent import Answer, Assignment
from vibe_tasks.agents.endpoint import COMPATIBLE, NO_KEY
from vibe_tasks.agents.preset_agent import JITTER, middle
from vibe_tasks.errors import PermanentError, UsageLimitError
from vibe_tasks.plan import ChatSpec

MISSING = "chat agents need the extra `llm`: pip install 'vibe-tasks[llm]'"
"""What is said where pydantic-ai is not installed."""


def is_installed() -> bool:
    """Whether the library that talks to models is there; it is not imported."""
    return find_spec("pydantic_ai") is not None


def unusable(spec: ChatSpec, environ: Mapping[str, str]) -> tuple[str, str] | None:
    """The key of the description that no agent here could do with, and why in one line.

    The library is asked only about a provider that may be none: that takes it two seconds.

    Args:
        spec: The agent's description.
        environ: Where its key is looked up.
    """
    if not is_installed():
        return "type", MISSING
    if spec.api_key_env is not None and not environ.get(spec.api_key_env, "").strip():
        return "api_key_env", NO_KEY.format(spec.api_key_env)
    provider = spec.model.partition(":")[0]
    if provider in COMPATIBLE:
        return None
    from vibe_tasks.agents.chat_model import no_provider  # noqa: PLC0415 - see above

    why = no_provider(provider)
    return None if why is None else ("model", why)


@dataclass(frozen=True, slots=True)
class ChatAgent:
    """Lets a language model work.

    Attributes:
        spec: Which model, where it answers, and what one job may take.
        uniform: Draws a number between its two arguments.
    """

    spec: ChatSpec
    uniform: Callable[[float, float], float] = middle

    def work(self, assignment: Assignment) -> Answer:
        """Talk with the model until it says that it is done."""
        if not is_installed():
            raise PermanentError(MISSING)
        from vibe_tasks.agents.conversation import converse  # noqa: PLC0415 - see above

        try:
            return asyncio.run(converse(self.spec, assignment, os.environ))
        except UsageLimitError as limit:
            wait = limit.seconds + self.uniform(0.0, JITTER)
            raise UsageLimitError(str(limit), wait) from limit
