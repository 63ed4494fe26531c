"""Where a chat agent's model answers, as far as it is known without the libraries that ask it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from vibe_tasks.plan_specs import ChatSpec

NO_KEY = "the environment variable {} with the key is not set"

COMPATIBLE = frozenset({"openai", "openai-chat"})
"""Providers that, with an address, mean any server that speaks the chat-completions protocol."""


def where(spec: ChatSpec) -> str:
    """Its model and where it answers, without what may hold a key: this is in events and logs."""
    if spec.base_url is None:
        return spec.model
    return f"{spec.model} at {urlsplit(spec.base_url)._replace(query='', fragment='').geturl()}"
