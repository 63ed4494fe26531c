"""One conversation with a language model: what it is told, what it may do, when it ends.

The model answers by streams, so that a model that says nothing any more is told from one that
thinks aloud, and so that a reason to stop ends it in the middle of an answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

from pydantic import BaseModel
from pydantic_ai import Agent, ModelRetry, RunContext, TextOutput, ToolOutput
from pydantic_ai.capabilities import UseThreadExecutor
from pydantic_ai.exceptions import AgentRunError, UserError
from pydantic_ai.models import Model
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import UsageLimits

from vibe_tasks.agents.agent import Answer, Assignment
from vibe_tasks.agents.answer import MOST_FINDINGS, read_review, text
from vibe_tasks.agents.chat_model import bounded_client, build_model, explained
from vibe_tasks.agents.chat_tools import Tools
from vibe_tasks.agents.chat_watch import Watch
from vibe_tasks.agents.checking import Checking
from vibe_tasks.agents.confined import Confined
from vibe_tasks.agents.endpoint import where
from vibe_tasks.errors import PermanentError, TransientError, VibeError
from vibe_tasks.failures import bounded
from vibe_tasks.plan import ChatSpec

LONGEST_PROMPT = 1_000_000
"""Characters of what the model is asked."""

MOST_MISTAKES = 5
"""Wrong calls of one tool in a row that are answered; with the next the attempt has failed."""

RETRIES_OF_A_REQUEST = 2
"""How often a request is made again when the server fails, waiting as it asks for. The first one is
not: nothing is lost with it, and the ledger knows when to try again."""

MISREAD = (TypeError, AttributeError, LookupError, ValueError)
"""What the library trips over where a server's answer has the wrong shape. A mistake of ours among
them is told as the server's, and tried again like any other."""

WORK = """\
You are a programmer. You work in a folder that holds a project, by tools alone: nobody reads your
words, your changes of files are your work. Paths are relative to the top of the folder. Read what
you need before you change it, make the change that is asked for, whole, and nothing else. Where
there is a tool to run the checks, run it and mend what fails. When the work is done, call `done`
with one or two sentences that say what you changed.
"""

REVIEW = """\
You review a change in a project. You can read its files by tools; you change nothing. Paths are
relative to the top of the folder. Judge whether the change does what was asked for, rightly and
wholly. When you have judged it, call `verdict`.
"""


class Done(BaseModel):
    """The work is done.

    Attributes:
        summary: One or two sentences that say what was changed.
    """

    summary: str = ""


class Verdict(BaseModel):
    """The judgement of a review.

    Attributes:
        verdict: Whether the change may stay as it is.
        findings: Each problem that must be mended, with its file.
        summary: The judgement in one or two sentences.
    """

    verdict: Literal["pass", "fail"]
    findings: list[str] = []
    summary: str = ""


async def converse(spec: ChatSpec, assignment: Assignment, environ: Mapping[str, str]) -> Answer:
    """Do the assignment with a model.

    Args:
        spec: The agent's description.
        assignment: What is to be done.
        environ: Environment of this process; the model's key comes from it.

    Raises:
        TransientError: The server failed, or the model did not come to an end.
        PermanentError: The model cannot be used, or the server refuses the very request.
        UsageLimitError: The server takes no more requests for a while.
        StoppedError: The attendant had a reason to end it.
    """
    watch = Watch(assignment, spec.price)
    watch.note("model", where(spec))
    watch.note("prompt", assignment.full_prompt)
    try:
        return await _converse(spec, assignment, environ, watch)
    except VibeError as error:
        watch.note("end", str(error))
        raise


async def _converse(
    spec: ChatSpec, assignment: Assignment, environ: Mapping[str, str], watch: Watch
) -> Answer:
    # The library leaves a tool's thread alone when it ends early; we wait for ours.
    with ThreadPoolExecutor(1, "vibe-tool") as threads:
        async with bounded_client() as client, _agent(
            spec, build_model(spec, environ, client), _tools(spec, assignment, environ, watch),
            review=assignment.kind == "review", timeout=assignment.timeout,
        ) as agent:  # fmt: skip
            run = agent.run(
                bounded(assignment.full_prompt, longest=LONGEST_PROMPT),
                usage=watch.usage,
                usage_limits=UsageLimits(request_limit=spec.max_turns),
                event_stream_handler=watch.hear,
                capabilities=[UseThreadExecutor(threads)],
            )
            try:
                result = await watch.over(run)
            except AgentRunError as error:
                first = watch.usage.requests == 0
                raise explained(error, spec=spec, first=first) from error
            except UserError as error:
                raise PermanentError(f"model {spec.model} cannot be used: {error}") from error
            except MISREAD as error:
                raise TransientError(f"the server's answer makes no sense: {error}") from error
    return _answer(result.output, watch, model=result.response.model_name)


def _agent(
    spec: ChatSpec, model: Model, tools: Tools, *, review: bool, timeout: float
) -> Agent[None, Any]:
    """The library's agent: what the model is told, may call, and ends with."""
    return Agent(
        model,
        output_type=_judging() if review else _working(),
        instructions=REVIEW if review else WORK,
        tools=tools.reading() if review else tools.writing(),
        retries={"tools": MOST_MISTAKES, "output": MOST_MISTAKES},
        model_settings=lambda ctx: _settings(model, timeout, ctx.usage.requests),
        name=spec.model,
        deps_type=type(None),
    )


def _tools(
    spec: ChatSpec, assignment: Assignment, environ: Mapping[str, str], watch: Watch
) -> Tools:
    checking = Checking(
        assignment=assignment, surroundings=spec, environ=environ,
        left=lambda: watch.left, stop=lambda: watch.ended_by,
    )  # fmt: skip
    return Tools(
        files=Confined(assignment.worktree), checks=checking.run if checking.commands else None
    )


def _working() -> list[Any]:
    """How a dev or fix job ends: by the call, or by words once something was done."""

    def said(ctx: RunContext[None], words: str) -> Done:
        if ctx.usage.tool_calls == 0 and ctx.retry == 0:
            raise ModelRetry("Nothing was done yet. Work by the tools, then call `done`.")
        return Done(summary=words)

    return [ToolOutput(Done, name="done"), TextOutput(said)]


def _judging() -> list[Any]:
    """How a review ends: by the call, or by words that hold a verdict."""

    def said(words: str) -> Verdict:
        verdict, findings = read_review(words)
        if verdict is None:
            raise ModelRetry("There is no verdict. Judge the change and call `verdict`.")
        return Verdict(verdict=verdict, findings=list(findings))

    return [ToolOutput(Verdict, name="verdict"), TextOutput(said)]


def _settings(model: Model, timeout: float, answers: int) -> ModelSettings:
    """Settings of the next request, without those that the provider does not know."""
    wanted = ModelSettings(timeout=timeout, max_retries=RETRIES_OF_A_REQUEST if answers else 0)
    for name in model.unsupported_settings:
        wanted.pop(name, None)
    return wanted


def _answer(output: Done | Verdict, watch: Watch, *, model: str | None) -> Answer:
    """What the conversation came to."""
    findings = output.findings[:MOST_FINDINGS] if isinstance(output, Verdict) else []
    return Answer(
        summary=text(output.summary),
        input_tokens=watch.usage.input_tokens,
        output_tokens=watch.usage.output_tokens,
        cost_usd=watch.cost or 0.0,
        verdict=output.verdict if isinstance(output, Verdict) else None,
        findings=tuple(each for each in map(text, findings) if each),
        session_id=watch.run_id,
        model=model,
    )
