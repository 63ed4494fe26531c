"""Dev, fix, qa, review and deploy as Celery tasks, and what follows a job."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from celery.result import AsyncResult

from vibe_tasks.breaker import CircuitBreakerConfig
from vibe_tasks.errors import InputError
from vibe_tasks.flow.deployment import deploy as deploy_commit
from vibe_tasks.flow.development import develop
from vibe_tasks.flow.plan_source import SENT, plan_of_one, read_plan, sent_plan
from vibe_tasks.flow.quality import judge
from vibe_tasks.flow.submission import Prepared, Submission, prepare, submit_plan
from vibe_tasks.flow.voting import vote
from vibe_tasks.flow.workplace import Bench, Following, Workplace, set_up
from vibe_tasks.jobs import Claim
from vibe_tasks.store.audit import By
from vibe_tasks.tasks import follow, publisher, resources
from vibe_tasks.tasks.app import app
from vibe_tasks.tasks.observation import attended, traces
from vibe_tasks.tasks.task import LedgerTask
from vibe_tasks.workspace.surroundings import Machine

Performance = Callable[[Bench], tuple[Mapping[str, Any], Following]]


def workplace() -> Workplace:
    """What this process brings along."""
    settings = resources.settings()
    return Workplace(
        ledger=resources.ledger(),
        home=resources.home(),
        environ=os.environ,
        retries=resources.retries,
        monotonic=resources.monotonic,
        uniform=resources.uniform,
        breaker=CircuitBreakerConfig.of(settings),
        cache_ttl=settings.cache_ttl_seconds,
        cache_entries=settings.cache_max_entries,
        machine=Machine(allowed=settings.agent_env, hidden=(resources.home(),)),
        before_end=partial(attended.before_end, "completed"),
        span=traces.span,
    )


class PlanTask(LedgerTask):
    """Base of the tasks that do a plan's jobs."""

    abstract = True
    work: Performance

    def perform(self, claim: Claim) -> tuple[Mapping[str, Any], Following]:
        """One attempt; the result, and the messages of what follows."""
        return type(self).work(set_up(workplace(), claim))


class DevTask(PlanTask):
    """Base of `dev`, which producers may call without a plan file."""

    abstract = True

    def apply_async(
        self,
        args: Sequence[Any] | None = None,
        kwargs: dict[str, Any] | None = None,
        *_: Any,
        **options: Any,
    ) -> AsyncResult:
        """Submit a plan with one task; the result is that of its dev job.

        The work goes its whole way: dev, qa, deploy to the branch `vibe/<name>`. Keyword
        arguments as `flow.submission.plan_of_one` takes them; without an agent, the setting
        `agent` is the command.

        Raises:
            InputError: An argument is wrong or missing; nothing was written.
        """
        given = {name for name, value in options.items() if value is not None}
        if args or given:
            raise InputError(f"dev() takes keyword arguments alone, not {args or sorted(given)}")
        fields = dict(kwargs or {})
        if fields.get("agent") is None:
            fields["agent"] = shlex.split(resources.settings().agent)
            if not fields["agent"]:
                raise InputError("dev() needs an agent: pass agent=…, or set VIBE_AGENT")
        try:
            plan = plan_of_one(**fields)
        except TypeError as error:
            raise InputError(f"dev(): {error}") from error
        submission = _submit(prepare(plan, Path.cwd() / "dev()", home=resources.home()))
        return self.AsyncResult(submission.following[0].id)


def _plan_task(kind: str, work: Performance, lane: str, base: type[PlanTask] = PlanTask) -> Any:
    def body(**_: Any) -> None:
        raise InputError(f"vibe.{kind} does a job of a plan; submit a plan, or call dev.delay()")

    body.__name__ = kind
    return app.task(
        body, base=base, name=f"vibe.{kind}", lane=lane, kind=kind, work=staticmethod(work),
        typing=False,
    )  # fmt: skip


fix = _plan_task("fix", develop, "code")
qa = _plan_task("qa", judge, "qa")
review = _plan_task("review", vote, "qa")
deploy = _plan_task("deploy", deploy_commit, "deploy")
dev = _plan_task("dev", develop, "code", DevTask)


def submit(
    plan: str | Path, *, agent: str | None = None, fresh: bool = False, by: By | None = None
) -> Submission:
    """Submit a plan file to the deployment that the settings name.

    Args:
        plan: The plan file.
        agent: Another default agent.
        fresh: Start over where a plan of that name exists.
        by: Who hands it in, for the audit trail; by default who runs this program.

    Raises:
        InputError: The plan cannot be accepted; nothing was written.
    """
    path = Path(plan)
    prepared = prepare(read_plan(path, agent=agent), path, home=resources.home())
    return _submit(prepared, fresh=fresh, by=by)


def submit_text(
    text: str, *, agent: str | None = None, fresh: bool = False, by: By | None = None
) -> Submission:
    """Submit a plan that came without a file; its `repo` is an address or an absolute path.

    Args:
        text: The plan, YAML or JSON.
        agent: Another default agent.
        fresh: Start over where a plan of that name exists.
        by: Who hands it in, for the audit trail; by default who runs this program.

    Raises:
        InputError: The plan cannot be accepted; nothing was written.
        GitError: The remote cannot be reached.
    """
    # A folder that is nowhere: no agent shall find anything in it by chance.
    source = resources.home() / "sent" / SENT
    prepared = prepare(sent_plan(text, agent=agent), source, home=resources.home())
    return _submit(prepared, fresh=fresh, by=by)


def _submit(prepared: Prepared, *, fresh: bool = False, by: By | None = None) -> Submission:
    ledger = resources.ledger()
    with traces.Submission() as trace:
        submission = submit_plan(
            ledger, prepared, fresh=fresh, trace=trace, by=by or resources.person("python")
        )
    publisher.publish(app, ledger, submission.following)
    return submission


@app.task(name=follow.NAME, base=LedgerTask, lane="code", kind=follow.KIND, bind=True)
def apply_following(self: LedgerTask, *args: Any, signature: str, options: str) -> None:
    """Apply what follows a job and is no single job itself."""
    follow.apply(self.app, args, signature, options)
