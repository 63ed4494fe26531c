"""mini-swe-agent: prompt in a configuration file, plain lines out, its trajectory in a file."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterable, Mapping

import yaml

from vibe_tasks.agents.agent import AgentEvent
from vibe_tasks.agents.answer import DEAREST, amount, count
from vibe_tasks.agents.preset import KEYS, Call, Preset
from vibe_tasks.agents.reader import (
    LONGEST_MATCHED,
    LONGEST_MESSAGE,
    Reader,
    part,
    parts,
    without_escapes,
)

_MOST_LINES = 200  # kept of one message
_STEP = re.compile(r"mini-swe-agent \(step \d{1,9}, \$(\d{1,12}(?:\.\d{1,12})?)\):$")
_OTHER = re.compile(r"(?:System|User|Tool|Exit|Unknown|Function_call_output):$|─{10,}$")


class MiniSweAgentReader(Reader):
    """Reads what it prints for people, and at the end the trajectory.

    Among the lines are those of programs that it runs, which may look like its own: of costs only
    one step's worth at a time is believed, and the trajectory has the last word.
    """

    chatty = True

    def __init__(self) -> None:
        super().__init__()
        self._said: deque[str] | None = None  # the message that is being told

    def line(self, line: str) -> Iterable[AgentEvent]:
        """Take a line."""
        return tuple(self._line(without_escapes(line).rstrip()))

    def _line(self, line: str) -> Iterable[AgentEvent]:
        head = line[:LONGEST_MATCHED]
        match = _STEP.match(head)
        if match and float(match[1]) <= (self.told.cost_usd or 0.0) + DEAREST:
            yield from self._spoken()
            self._said = deque(maxlen=_MOST_LINES)
            self.told.cost_usd = float(match[1])
            yield from self.usage()
        elif _OTHER.match(head):
            yield from self._spoken()
        elif self._said is not None:
            self._said.append(line[-LONGEST_MESSAGE:])

    def _spoken(self) -> Iterable[AgentEvent]:
        said, self._said = self._said, None
        if said is not None:
            yield from self.message("\n".join(said))

    def finish(self, written: str) -> Iterable[AgentEvent]:
        """Take the trajectory; without one it did not even begin."""
        yield from self._spoken()
        try:
            trajectory = part(json.loads(written))
        except (ValueError, RecursionError):
            return
        info, messages = part(trajectory.get("info")), parts(trajectory.get("messages"))
        self._figures(info, messages)
        yield from self.usage()
        status = info.get("exit_status")
        if status == "Submitted":
            last = next((one for one in reversed(messages) if one.get("role") == "assistant"), {})
            words = (last.get("content"), info.get("submission"))
            said = "\n".join(word.strip() for word in words if isinstance(word, str))
            self.told.message = said.strip()[-LONGEST_MESSAGE:]
            self.told.final = True
            yield from self.succeeded()
        elif status:
            extra = part(part(messages[-1] if messages else {}).get("extra"))
            yield from self.failed(f"{status}: {extra.get('exception_str') or 'no more is told'}")

    def _figures(
        self, info: Mapping[str, object], messages: tuple[Mapping[str, object], ...]
    ) -> None:
        self.told.cost_usd = amount(part(info.get("model_stats")).get("instance_cost"))
        model = part(part(info.get("config")).get("model")).get("model_name")
        self.told.model = model if isinstance(model, str) else None
        for message in messages:
            usage = part(part(part(message.get("extra")).get("response")).get("usage"))
            self.told.input_tokens += count(usage.get("prompt_tokens"))
            self.told.output_tokens += count(usage.get("completion_tokens"))


def _form(prompt: str) -> str:
    """A configuration with the task: an argument could not hold a long one."""
    return yaml.safe_dump({"run": {"task": prompt}})


def _arguments(call: Call) -> tuple[str, ...]:
    files = ("-c", "mini.yaml", "-c", str(call.prompt), "-o", str(call.written))
    limits = ("-l", "0")  # a limit of 3 dollars is its own choice; budgets are the plan's
    return ("--yolo", "--exit-immediately", *limits, *files, *call.option("--model"))


MINI_SWE_AGENT = Preset(
    name="mini-swe-agent",
    arguments=_arguments,
    reader=MiniSweAgentReader,
    prompt="file",
    form=_form,
    prompt_name="prompt.yaml",
    written_name="trajectory.json",
    keys=(*KEYS, "MSWEA_MODEL_NAME", "MSWEA_GLOBAL_CONFIG_DIR", "LITELLM_MODEL_REGISTRY_PATH"),
    # Without the first it asks for a set-up; without the second it refuses models without a price.
    variables={"MSWEA_CONFIGURED": "true", "MSWEA_COST_TRACKING": "ignore_errors"},
    probe=("--help",),
)
