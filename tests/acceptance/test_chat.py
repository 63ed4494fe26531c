"""A plan whose agents are language models behind HTTP, run as a user runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.acceptance.plan_folder import branch_files, make_plan, outcomes
from tests.acceptance.vibe_command import Vibe
from tests.chat_server import Call, Refuse, Reply, chat_server

RIGHT = "def double(x):\n    return 2 * x\n"
WRONG = "def double(x):\n    return x\n"
CHECK = "python -c 'from double import double; assert double(4) == 8'"


class Model:
    """Writes a wrong program first, mends it when it is told what failed, and reviews honestly."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, request: dict[str, Any]) -> Reply:
        """Answer one request."""
        system, user, *rest = [str(each["content"]) for each in request["messages"]]
        self.asked.append(user)
        if len(self.asked) == 1:
            return Refuse(503, {"Retry-After": "0"})
        if "You review" in system:
            if not rest:
                return Call("read_file", {"path": "double.py"})
            right = RIGHT in rest
            findings = [] if right else ["double.py: it returns its argument"]
            return Call("verdict", {"verdict": "pass" if right else "fail", "findings": findings})
        if rest:
            return Call("done", {"summary": "Wrote double.py."})
        refused = "was refused" in user
        return Call("write_file", {"path": "double.py", "content": RIGHT if refused else WRONG})


def test_a_model_works_is_judged_and_mends_its_work(vibe: Vibe, tmp_path: Path):
    """A failing server costs one attempt; a model's wrong program is refused by checks and by a
    reviewing model; the fix is told why and deployed; what was used is counted.
    """
    model = Model()
    with chat_server(model) as server:
        agent = {
            "type": "chat", "model": "openai:tiny", "base_url": server.url, "timeout": 60,
            "price": {"input": 1.0, "output": 10.0},
        }  # fmt: skip
        plan = make_plan(
            tmp_path, [{"id": "double", "prompt": "Write double.py."}],
            agent=agent, qa={"checks": [CHECK], "reviewers": ["mine"]},
        )  # fmt: skip
        report = vibe.run("run", plan, "--json").report
    assert outcomes(report) == {"double": "deployed"}, report
    assert branch_files(tmp_path)["double.py"] == RIGHT.strip()
    attempts = report["tasks"][0]["attempts"]
    assert (attempts["dev"], attempts["fix"], attempts["review"]) == (2, 1, 2)
    fix = next(prompt for prompt in model.asked if "was refused" in prompt)
    assert "AssertionError" in fix
    assert "it returns its argument" in fix
    answered = len(server.requests) - 1
    assert report["tokens"] == {"input": 100 * answered, "output": 10 * answered}
    assert round(report["cost_usd"] * 1e6) == 200 * answered
