"""The language model behind a chat agent: which one, where, with which key, and what its errors
mean.

Without `base_url` the provider is pydantic-ai's own, with the address and the key that it looks
for. With `base_url`, `openai:` means any server that speaks the chat-completions protocol; it gets
the key that the plan names and no other, so that a key for OpenAI never reaches another server.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import AsyncIterator, Mapping
from typing import Any, get_args, get_type_hints

import httpx2
from pydantic_ai.exceptions import (
    AgentRunError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelNotFoundError,
    ModelQuotaExceededError,
    ModelRequestRejectedError,
    UsageLimitExceeded,
    UserError,
)
from pydantic_ai.models import Model, create_async_httpx2_client, infer_model
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers import Provider, infer_provider_class

from vibe_tasks.agents.endpoint import COMPATIBLE, NO_KEY, where
from vibe_tasks.agents.usage_limit import UNKNOWN_WAIT, bounded_wait
from vibe_tasks.errors import PermanentError, TransientError, UsageLimitError, VibeError
from vibe_tasks.failures import bounded
from vibe_tasks.plan import ChatSpec

LARGEST_RESPONSE = 32_000_000
"""Bytes of one HTTP response; a server that sends more is cut off. The libraries of a few providers
take no client of ours: of these the answer alone is bounded, by its characters, as of all."""

LONG_WAIT = 60.0
"""Seconds: a `Retry-After` above this is a usage limit, for which the job waits without losing a
retry; a shorter one is a failed attempt that is tried again then."""

DUMMY_KEY = "none"
"""What a server given by `base_url` gets as its key where the plan names none."""

LONGEST_COMPLAINT = 1_500
"""Characters of an error that are told."""


def build_model(spec: ChatSpec, environ: Mapping[str, str], client: httpx2.AsyncClient) -> Model:
    """The model of a plan's chat agent.

    Args:
        spec: The agent's description.
        environ: Where the key is looked up under the name that the plan gives.
        client: Reaches the provider's server, where its library takes one.

    Raises:
        PermanentError: The provider is unknown, its package is not installed, its key is missing,
            or it takes no address of its own.
    """
    provider, colon, name = spec.model.partition(":")
    if not (colon and provider and name):
        raise PermanentError(f"model {spec.model!r} must be like provider:model")
    key = _key(spec, environ)
    try:
        if spec.base_url is not None and provider in COMPATIBLE:
            return _compatible(name, spec.base_url, key, client)
        if spec.base_url is not None:
            return infer_model(
                spec.model,
                lambda asked: _provider(
                    asked, client, base_url=spec.base_url, api_key=key or DUMMY_KEY
                ),
            )
        if key is not None:
            return infer_model(spec.model, lambda asked: _provider(asked, client, api_key=key))
        if provider.startswith("gateway/"):  # which of them is a matter of the library's
            return infer_model(spec.model)
        return infer_model(spec.model, lambda asked: _provider(asked, client))
    except (UserError, ImportError, ValueError) as error:
        said = str(error).split("\n", 1)[0][:LONGEST_COMPLAINT]
        raise PermanentError(f"model {spec.model} cannot be used: {said}") from error


def no_provider(provider: str) -> str | None:
    """Why models of this provider cannot be used here, in one line; None: they can."""
    try:
        infer_provider_class(provider)
    except (UserError, ImportError, ValueError) as error:
        return str(error).split("\n", 1)[0][:LONGEST_COMPLAINT]
    return None


def explained(error: AgentRunError, *, spec: ChatSpec, first: bool) -> VibeError:
    """What the end of a conversation means for the job.

    Args:
        error: Why it ended.
        spec: The agent's description; the text names its model and address.
        first: Whether the model had not answered once: a request that is refused then is refused
            each time, later ones depend on what the model itself said.
    """
    said = _reason(error) if isinstance(error, ModelConnectionError) else str(error)
    text = f"{where(spec)}: {bounded(said, longest=LONGEST_COMPLAINT)}"
    if isinstance(error, UsageLimitExceeded):
        return TransientError("the model did not come to an end within max_turns")
    if not isinstance(error, ModelAPIError):
        return TransientError(f"the model went astray: {text}")
    wait = error.retry_after
    if wait is None and isinstance(error, ModelQuotaExceededError):
        wait = UNKNOWN_WAIT
    if wait is not None and wait > LONG_WAIT:
        return UsageLimitError(text, bounded_wait(wait))
    hopeless = (ModelAuthenticationError, ModelNotFoundError)
    if isinstance(error, hopeless) or (first and isinstance(error, ModelRequestRejectedError)):
        return PermanentError(text)
    return TransientError(text, retry_after=wait)


def _reason(error: BaseException) -> str:
    """Why there was no connection, which the libraries tell in the causes of their errors."""
    first, cause = str(error).rstrip("."), error
    while (further := cause.__cause__ or cause.__context__) is not None:
        cause = further
        if isinstance(cause, OSError) and cause.errno is not None:
            known = os.strerror(cause.errno) if cause.errno > 0 else str(cause.strerror)
            return known[:1].lower() + known[1:]
    return first


def _key(spec: ChatSpec, environ: Mapping[str, str]) -> str | None:
    if spec.api_key_env is None:
        return None
    key = environ.get(spec.api_key_env, "").strip()
    if not key:
        raise PermanentError(NO_KEY.format(spec.api_key_env))
    return key


def _compatible(name: str, base_url: str, key: str | None, client: httpx2.AsyncClient) -> Model:
    """A model on any server that speaks chat completions."""
    # Here and not above: other providers do without the package that this one needs.
    from pydantic_ai.models.openai import OpenAIChatModel  # noqa: PLC0415
    from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider  # noqa: PLC0415

    provider = OpenAICompatibleProvider(
        "openai-compatible",
        base_url=base_url,
        api_key=key or DUMMY_KEY,
        http_client=client,
        # A stream that ends without one was cut, however politely the connection was closed.
        profile=OpenAIModelProfile(openai_chat_streaming_requires_finish_reason=True),
    )
    return OpenAIChatModel(name, provider=provider)


def _provider(name: str, client: httpx2.AsyncClient, **given: str | None) -> Provider[Any]:
    """A provider of the library with an address or a key of the plan's."""
    kind = infer_provider_class(name)
    for word in given:
        if word not in inspect.signature(kind.__init__).parameters:
            raise UserError(f"provider {name} takes no {word}")
    ours = {"http_client": client} if _takes_ours(kind) else {}
    return kind(**given, **ours)


def _takes_ours(kind: type[Provider[Any]]) -> bool:
    """Whether it takes a client of our kind, and not of an older library's, or none."""
    try:
        taken = get_type_hints(kind.__init__).get("http_client")
    except (NameError, TypeError, AttributeError):  # what only a type checker imports
        return False
    return taken is httpx2.AsyncClient or httpx2.AsyncClient in get_args(taken)


def bounded_client() -> httpx2.AsyncClient:
    """A client whose responses are bounded, for `build_model`; whoever makes it closes it."""
    client = create_async_httpx2_client()
    client.event_hooks["response"].append(_cut_off)
    return client


async def _cut_off(response: httpx2.Response) -> None:
    if isinstance(response.stream, httpx2.AsyncByteStream):
        response.stream = _Bounded(response.stream)


class _Bounded(httpx2.AsyncByteStream):
    """A response's bytes, up to `LARGEST_RESPONSE`."""

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        count = 0
        async for chunk in self._stream:
            count += len(chunk)
            if count > LARGEST_RESPONSE:
                raise httpx2.ReadError(f"the answer has more than {LARGEST_RESPONSE} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
