"""A command agent with real programs."""

from __future__ import annotations

import json
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

from tests.assignments import assignment
from vibe_tasks.agents.agent import AgentEvent, Answer, Assignment
from vibe_tasks.agents.command import CommandAgent
from vibe_tasks.errors import PermanentError, StoppedError, TransientError
from vibe_tasks.plan_specs import Surroundings
from vibe_tasks.workspace.surroundings import Machine


def program(root: Path, source: str) -> CommandAgent:
    """An agent that runs Python source from a file beside the plan."""
    path = root / "plan" / "agent.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(source), encoding="utf-8")
    return CommandAgent((sys.executable, "{plan_dir}/agent.py"))


def fix(root: Path, **values: object) -> Assignment:
    """A fix job with a QA report."""
    check = {"command": "make test", "passed": False, "exit_code": 2, "output": "1 != 2"}
    fields = {"kind": "fix", "attempt": 3, "fix_round": 2, "report": {"checks": [check]}}
    return assignment(root, **(fields | values))


def test_the_program_gets_all_that_the_interface_promises(tmp_path: Path):
    """Working directory, prompt, environment and task file are as documented."""
    agent = program(
        tmp_path,
        """
        import json, os, pathlib, sys
        seen = {key: value for key, value in os.environ.items() if key.startswith("VIBE_")}
        seen |= {"cwd": os.getcwd(), "stdin": sys.stdin.read(), "argv": sys.argv[1:]}
        seen["task_file"] = json.loads(pathlib.Path(os.environ["VIBE_TASK_FILE"]).read_text())
        pathlib.Path("seen.json").write_text(json.dumps(seen))
        """,
    )
    agent = CommandAgent((*agent.argv, '{"a": 1}', "--in={plan_dir}"))
    job = fix(tmp_path)
    assert agent.work(job) == Answer()
    seen = json.loads((job.worktree / "seen.json").read_text())
    assert seen.pop("cwd") == str(job.worktree)
    assert seen.pop("argv") == ['{"a": 1}', f"--in={job.plan_dir}"]
    stdin = seen.pop("stdin")
    assert stdin == job.full_prompt
    assert "make test" in stdin
    assert seen.pop("task_file") == {
        "job_id": "job-1",
        "plan": "demo",
        "kind": "fix",
        "attempt": 3,
        "fix_round": 2,
        "task": job.task,
        "report": job.report,
    }
    assert seen == {
        "VIBE_JOB_ID": "job-1",
        "VIBE_PLAN": "demo",
        "VIBE_TASK_ID": "store",
        "VIBE_KIND": "fix",
        "VIBE_ATTEMPT": "3",
        "VIBE_FIX_ROUND": "2",
        "VIBE_TASK_FILE": str(job.scratch / "task.json"),
    }


def test_our_own_settings_and_git_variables_stay_with_us(tmp_path: Path, monkeypatch):
    """A program is not led to our repository or ledger, and gets the keys that it is to have.

    The plan names those of its agent, the setting `agent_env` those of this machine.
    """
    monkeypatch.setenv("VIBE_DATABASE_URL", "postgresql://secret")
    monkeypatch.setenv("VIBE_API_TOKEN", "secret")
    monkeypatch.setenv("GIT_DIR", "/elsewhere")
    monkeypatch.setenv("MY_MODEL_KEY", "needed")
    monkeypatch.setenv("MACHINES_KEY", "needed too")
    monkeypatch.setenv("SOMEBODY_ELSES_KEY", "secret")
    source = """
        import os
        assert "VIBE_DATABASE_URL" not in os.environ and "VIBE_API_TOKEN" not in os.environ
        assert "GIT_DIR" not in os.environ
        assert os.environ["MY_MODEL_KEY"] == "needed"
        assert os.environ["MACHINES_KEY"] == "needed too"
        assert "SOMEBODY_ELSES_KEY" not in os.environ
    """
    agent = replace(program(tmp_path, source), surroundings=Surroundings(env=("MY_MODEL_KEY",)))
    job = assignment(tmp_path, machine=Machine(allowed=("MACHINES_KEY",)))
    assert agent.work(job) == Answer()


def test_the_last_line_is_the_answer_and_the_log_has_everything(tmp_path: Path):
    """What the program says on both streams is in the log; its last line is read."""
    source = """
        import json, sys
        print("thinking aloud")
        print("a warning", file=sys.stderr)
        print(json.dumps({"summary": "done", "input_tokens": 7}))
    """
    job = assignment(tmp_path)
    assert program(tmp_path, source).work(job) == Answer(summary="done", input_tokens=7)
    log = (job.scratch / "agent.log").read_text()
    assert "thinking aloud" in log
    assert "a warning" in log


def test_what_it_uses_is_known_while_it_works(tmp_path: Path):
    """A line that could be the last one is heard at once; the attendant may end the program."""
    heard: list[AgentEvent] = []

    class Treasurer:
        def heard(self, event: AgentEvent) -> None:
            heard.append(event)

        def stop_reason(self) -> str | None:
            return "no money left" if heard else None

    source = """
        import json, threading
        print("{")
        print('{"other": 1}')
        print(json.dumps({"summary": "half", "cost_usd": 0.5, "input_tokens": 7}), flush=True)
        threading.Event().wait(60)
    """
    with pytest.raises(StoppedError, match="no money left"):
        program(tmp_path, source).work(assignment(tmp_path, attendant=Treasurer()))
    assert heard == [AgentEvent(kind="message", text="half", cost_usd=0.5, input_tokens=7)]


@pytest.mark.parametrize(
    ("code", "kind"),
    [(75, TransientError), (1, TransientError), (64, PermanentError), (78, PermanentError)],
)
def test_failures_carry_the_code_and_the_end_of_the_output(tmp_path: Path, code, kind):
    """A person reading the error sees how the program ended and the last it said."""
    source = f"import sys; print('x' * 5000 + ' no quota', file=sys.stderr); sys.exit({code})"
    with pytest.raises(kind, match=rf"(?s)exited with {code}.*no quota") as caught:
        program(tmp_path, source).work(assignment(tmp_path))
    assert len(str(caught.value)) < 2_000


def test_a_killed_program_may_be_tried_again(tmp_path: Path):
    """An agent that the kernel or a person killed is no permanent failure."""
    source = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    with pytest.raises(TransientError, match="SIGKILL"):
        program(tmp_path, source).work(assignment(tmp_path))


def test_a_program_past_its_timeout_is_ended(tmp_path: Path):
    """The timeout is a retryable failure that says how long was waited."""
    source = "import threading; print('waiting', flush=True); threading.Event().wait(60)"
    with pytest.raises(TransientError, match=r"did not end within 0\.5 s"):
        program(tmp_path, source).work(assignment(tmp_path, timeout=0.5))


def test_a_program_that_ignores_its_prompt_is_no_failure(tmp_path: Path):
    """A prompt larger than any pipe does not hang or break an agent that reads nothing."""
    job = assignment(tmp_path, prompt="x" * 1_000_000)
    assert program(tmp_path, "print('{}')").work(job) == Answer()


def test_an_unknown_program_fails_for_good(tmp_path: Path):
    """A program that is not installed is named; another attempt would not find it either."""
    with pytest.raises(PermanentError, match="no-such-agent"):
        CommandAgent(("no-such-agent",)).work(assignment(tmp_path))


def test_a_missing_worktree_fails_closed(tmp_path: Path):
    """Without its worktree the program is not started anywhere else."""
    job = assignment(tmp_path)
    job.worktree.rmdir()
    with pytest.raises(PermanentError, match="worktree"):
        program(tmp_path, "raise SystemExit(0)").work(job)


def test_odd_texts_reach_the_program(tmp_path: Path):
    """Any Unicode in a prompt or task survives the way through pipes and files."""
    text = "Größe ✓ \u2028 \x07 🎉"
    source = """
        import json, os, pathlib, sys
        sys.stdin.reconfigure(encoding="utf-8", newline="")
        said = json.loads(pathlib.Path(os.environ["VIBE_TASK_FILE"]).read_bytes())
        assert said["task"]["title"] == sys.stdin.read(), said
    """
    job = assignment(tmp_path, prompt=text, task={"title": text})
    assert program(tmp_path, source).work(job) == Answer()
