"""At a budget's limit work ends cleanly and the rest waits for a person; nothing is lost by it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests import agent_standins
from tests.acceptance.plan_folder import branch_files, make_plan, outcomes
from tests.acceptance.vibe_command import Vibe
from tests.processes import command_line, until

SPENDING = """
if not Path(__file__).with_name("calm").exists():
    say(INIT)
    for number in range(1, 10_000):
        say(answer("thinking", number=number))
        threading.Event().wait(0.1)
Path(prompt.split()[1]).write_text("done")
say(*WORK)
"""
"""105 tokens each tenth of a second, and no end, unless it is told to be calm."""


def test_a_budget_ends_work_under_way_and_a_person_lets_it_go_on(vibe: Vibe, tmp_path: Path):
    """The agent that spends without end is ended within seconds, its job waits without having
    failed, and the other task does not begin; a raised budget lets both go on.
    """
    tools = tmp_path / "tools"
    agent_standins.put(tools, "claude", SPENDING)
    path = os.pathsep.join((str(tools), os.environ["PATH"]))
    plan = make_plan(
        tmp_path, [{"id": "a", "prompt": "write a.txt"}, {"id": "b", "prompt": "write b.txt"}],
        agent={"type": "command", "preset": "claude", "timeout": 600}, budget={"tokens": 1000},
    )  # fmt: skip
    with vibe.started("run", plan, "--workers", "1", "--json", PATH=path) as run:
        jobs = "SELECT status, retry_count, error FROM jobs WHERE kind = 'dev' AND attempt > 0"
        until(
            lambda: [row[0] for row in vibe.rows(jobs)] == ["blocked", "blocked"]
        )  # fmt: skip
        for status, failures, error in vibe.rows(jobs):
            assert (status, failures) == ("blocked", 0)
            assert error.startswith("budget of plan work: "), error
        assert not any("claude" in " ".join(command_line(process)) for process in vibe.strays())
        told = vibe.rows("SELECT count(*) FROM events WHERE hook_event_type = 'BUDGET_REACHED'")
        assert told == [(1,)], "once for all that waits"
        heard = "SELECT count(*) FROM events WHERE hook_event_type = 'AgentMessage'"
        assert vibe.rows(heard)[0][0] >= 3
        ((used, attempts),) = vibe.rows(
            "SELECT sum(input_tokens + output_tokens), count(*) FROM agent_usage"
        )
        assert used >= 1000
        assert attempts == 1, "the second task asked nobody"

        (tools / "calm").touch()
        raised = vibe.run("plans", "budget", "work", "--tokens", "1000000", "--json")
        assert raised.code == 0, raised
        out, err = run.communicate(timeout=90)
    assert run.returncode == 0, (out, err)
    report = json.loads(out)
    assert outcomes(report) == {"a": "deployed", "b": "deployed"}
    assert report["tokens"]["input"] + report["tokens"]["output"] > used
    assert (report["dead_letters"], report["jobs"]["failed"]) == ([], 0)
    assert set(branch_files(tmp_path)) >= {"a.txt", "b.txt"}
