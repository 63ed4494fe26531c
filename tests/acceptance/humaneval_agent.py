"""An agent that answers HumanEval problems from the data set, with failures at fixed places.

`python humaneval_agent.py DATASET`; problems are counted from 1 in the data set's order. The
first attempt at every 5th one's dev job ends with exit code 75, the first round of every 7th one
gives a wrong body, and every 41st one is always wrong.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
from pathlib import Path
from typing import Any

TRANSIENT, WRONG_AT_FIRST, ALWAYS_WRONG = 5, 7, 41
"""Which problems fail how: those whose number is a multiple."""

EX_TEMPFAIL = 75
WRONG_BODY = "    raise NotImplementedError\n"


def answer(problem: dict[str, Any], number: int, *, fix_round: int) -> str:
    """The file with the function, as the agent writes it in this round.

    Args:
        problem: A line of the data set.
        number: Its number, from 1.
        fix_round: Fix rounds begun so far.
    """
    wrong = number % ALWAYS_WRONG == 0 or (number % WRONG_AT_FIRST == 0 and fix_round == 0)
    return str(problem["prompt"]) + (WRONG_BODY if wrong else problem["canonical_solution"])


def main(dataset: str) -> int:
    """Answer the problem that the environment names; the exit code."""
    task_id, kind = os.environ["VIBE_TASK_ID"], os.environ["VIBE_KIND"]
    with gzip.open(dataset, "rt", encoding="utf-8") as lines:
        problems = [json.loads(line) for line in lines]
    number = next(
        number
        for number, problem in enumerate(problems, start=1)
        if problem["task_id"].replace("/", "_") == task_id
    )
    job = json.loads(Path(os.environ["VIBE_TASK_FILE"]).read_text(encoding="utf-8"))
    if number % TRANSIENT == 0 and kind == "dev" and os.environ["VIBE_ATTEMPT"] == "1":
        sys.stderr.write("the model is overloaded\n")
        return EX_TEMPFAIL
    text = answer(problems[number - 1], number, fix_round=int(os.environ["VIBE_FIX_ROUND"]))
    path = Path(job["task"]["files"][0])
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    print(
        json.dumps({"summary": f"{kind} of {task_id}", "input_tokens": number, "output_tokens": 1})
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
