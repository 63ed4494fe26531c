"""Which model a plan means, and what a model's errors mean for a job."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai.exceptions import (
    AgentRunError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelHTTPError,
    ModelNotFoundError,
    ModelOverloadedError,
    ModelQuotaExceededError,
    ModelRateLimitError,
    ModelRequestRejectedError,
    ModelServerError,
    ModelTimeoutError,
    UnexpectedModelBehavior,
    UsageLimitExceeded,
)

from tests.assignments import assignment
from vibe_tasks.agents.chat import MISSING, ChatAgent
from vibe_tasks.agents.chat_model import (
    LONG_WAIT,
    _cut_off,
    bounded_client,
    build_model,
    explained,
)
from vibe_tasks.errors import PermanentError, TransientError, UsageLimitError
from vibe_tasks.flow.engagement import breaker_name
from vibe_tasks.flow.plan_source import no_model
from vibe_tasks.plan import ChatSpec

LOCAL = "http://127.0.0.1:9/v1"

TINY = ChatSpec(model="openai:tiny")


def built(spec: ChatSpec, **environ: str) -> Any:
    """The model of a description, built as a conversation does it."""

    async def build() -> Any:
        async with bounded_client() as client:
            return build_model(spec, environ, client)

    return asyncio.run(build())


def http(status: int, **headers: str) -> ModelHTTPError:
    """An error that a server answered with, of the category that the library gives it."""
    category = {
        400: ModelRequestRejectedError, 401: ModelAuthenticationError, 404: ModelNotFoundError,
        402: ModelQuotaExceededError, 429: ModelRateLimitError, 500: ModelServerError,
        529: ModelOverloadedError,
    }[status]  # fmt: skip
    return ModelHTTPError.for_category(
        category, status_code=status, model_name="m", body={"message": "no"}, headers=headers
    )


@pytest.mark.parametrize(
    ("error", "first", "kind"),
    [
        (http(429), True, TransientError),
        (http(429, **{"Retry-After": "30"}), True, TransientError),
        (http(429, **{"Retry-After": "3600"}), True, UsageLimitError),
        (http(402), True, UsageLimitError),
        (http(500), True, TransientError),
        (http(529), False, TransientError),
        (http(401), False, PermanentError),
        (http(404), False, PermanentError),
        (http(400), True, PermanentError),
        (http(400), False, TransientError),
        (ModelConnectionError("m", "refused"), True, TransientError),
        (ModelTimeoutError("m", "too slow"), True, TransientError),
        (UnexpectedModelBehavior("nonsense"), True, TransientError),
        (UsageLimitExceeded("turns"), False, TransientError),
    ],
)
def test_errors_become_the_kind_that_they_are(error: AgentRunError, first: bool, kind: type):
    """R2: what passes is tried again, what does not is not, and limits cost no attempt."""
    assert type(explained(error, spec=TINY, first=first)) is kind


def test_a_servers_wish_is_kept():
    """A short `Retry-After` delays the next attempt, a long one is the length of the wait, and a
    senseless one is cut to reason.
    """
    short = explained(http(429, **{"Retry-After": str(int(LONG_WAIT))}), spec=TINY, first=True)
    long = explained(http(429, **{"Retry-After": "7200"}), spec=TINY, first=True)
    absurd = explained(http(429, **{"Retry-After": "99999999999"}), spec=TINY, first=True)
    assert isinstance(short, TransientError)
    assert isinstance(long, UsageLimitError)
    assert isinstance(absurd, UsageLimitError)
    assert short.retry_after == LONG_WAIT
    assert long.seconds == 7200
    assert absurd.seconds <= 10 * 86_400


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (ChatSpec(model="qwen"), "must be like provider:model"),
        (ChatSpec(model="nobody:m"), "nobody"),
        (ChatSpec(model="nobody:m", base_url=LOCAL), "nobody"),
        (ChatSpec(model="openai:m"), "OPENAI_API_KEY"),
        (ChatSpec(model="openai:m", base_url=LOCAL, api_key_env="MY_KEY"), "MY_KEY"),
        (ChatSpec(model="bedrock:m", base_url=LOCAL), "bedrock"),
    ],
)
def test_a_model_that_cannot_be_used_is_refused_in_one_line(
    spec: ChatSpec, said: str, monkeypatch: pytest.MonkeyPatch
):
    """Unknown providers, missing packages and missing keys fail for good, with a line to act on."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(PermanentError) as refused:
        built(spec)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("provider", ["openai", "openai-responses", "ollama", "openrouter"])
def test_a_key_goes_nowhere_but_where_the_plan_sends_it(
    provider: str, monkeypatch: pytest.MonkeyPatch
):
    """A provider's own key is not handed to another server; the one that the plan names is."""
    for word in ("OPENAI", "OLLAMA", "OPENROUTER"):
        monkeypatch.setenv(f"{word}_API_KEY", "sk-own")
    spec = ChatSpec(model=f"{provider}:m", base_url=LOCAL)
    if provider == "openrouter":
        with pytest.raises(PermanentError, match="openrouter takes no base_url"):
            built(spec)
        return
    model = built(spec)
    assert str(model.client.base_url).startswith(LOCAL)
    assert model.client.api_key != "sk-own"
    named = spec.model_copy(update={"api_key_env": "MY_KEY"})
    assert built(named, MY_KEY=" mine\n").client.api_key == "mine"


def test_a_missing_library_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Where the extra is not installed a chat agent says what to install, and fails for good."""
    monkeypatch.setattr("vibe_tasks.agents.chat.is_installed", lambda: False)
    with pytest.raises(PermanentError) as refused:
        ChatAgent(ChatSpec(model="openai:m")).work(assignment(tmp_path))
    assert str(refused.value) == MISSING
    assert no_model(ChatSpec(model="openai:m")) == ("type", MISSING)


def test_importing_agents_does_not_import_models():
    """Whoever uses no chat agent does not pay for the libraries that talk to models."""
    code = (
        "import sys, vibe_tasks, vibe_tasks.agents.build, vibe_tasks.flow.plan_source;"
        "sys.exit(bool({'pydantic_ai', 'openai', 'httpx2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], timeout=60, check=False)
    assert done.returncode == 0


def test_a_breaker_is_named_without_keys():
    """Events and logs have its name; an `@` further on is no password."""
    spec = ChatSpec(model="openai:m", base_url="http://h:8000/v1/@x?key=secret#secret")
    assert breaker_name("a", spec) == "openai:m at http://h:8000/v1/@x"


@pytest.mark.parametrize(
    ("provider", "base_url"),
    [
        *((provider, LOCAL) for provider in ("openai", "openai-responses", "ollama", "vllm")),
        *((provider, None) for provider in ("openai", "ollama", "deepseek")),
    ],
)
def test_every_server_is_held_to_the_bound(
    provider: str, base_url: str | None, monkeypatch: pytest.MonkeyPatch
):
    """Whoever answers, and however its address came: the client that bounds responses asks it."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk")
    monkeypatch.setenv("DEEPSEEK_API_KEY", "sk")
    monkeypatch.setenv("OLLAMA_BASE_URL", LOCAL)
    model = built(ChatSpec(model=f"{provider}:m", base_url=base_url))
    assert model.client._client.event_hooks["response"] == [_cut_off]
