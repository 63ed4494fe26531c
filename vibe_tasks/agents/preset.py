"""What is known of a coding-agent program: how it is started, told its task, read and probed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from vibe_tasks.agents.reader import Reader

KEYS = (
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_BASE_URL",
    "OPENAI_API_KEY",
    "OPENAI_API_BASE",
    "OPENAI_BASE_URL",
    "GEMINI_API_KEY",
    "OPENROUTER_API_KEY",
    "DEEPSEEK_API_KEY",
    "GROQ_API_KEY",
    "MISTRAL_API_KEY",
    "XAI_API_KEY",
    "OLLAMA_API_BASE",
)
"""Variables with the keys and addresses of providers, for programs that work with any of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One job, as a command line is made of it.

    Attributes:
        review: Whether it is a review: nothing is to be changed.
        model: The model that the plan names; None leaves the choice to the program.
        files: Files of the task that are there, as paths in the worktree.
        prompt: Where the prompt is, for programs that read it from a file.
        written: Where the program may write what it does not print.
        scratch: Folder for everything else that would litter the worktree.
    """

    review: bool
    model: str | None
    files: tuple[str, ...]
    prompt: Path
    written: Path
    scratch: Path

    def option(self, name: str) -> tuple[str, ...]:
        """The option that names the model, where there is one to name."""
        return () if self.model is None else (name, self.model)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A known program.

    Attributes:
        name: What plans call it, and what the program is called.
        arguments: Makes its arguments; those of the plan follow them.
        closing: Arguments that must be the last.
        reader: Makes what reads its standard output.
        prompt: How the prompt goes in.
        form: Makes the content of the prompt's file of the prompt.
        prompt_name: Name of that file.
        written_name: Name of the file that it writes to; empty for none.
        keys: Variables of our environment that it needs, such as its API key.
        variables: Variables that are set for it.
        permanent: Exit codes that another attempt would meet again, with their meaning.
        litter: Patterns of what it leaves at the top of the worktree besides its work.
        grace: Seconds that it may take to end by itself once its work is over.
        probe: Arguments of a harmless call that shows whether it starts.
    """

    name: str
    arguments: Callable[[Call], Sequence[str]]
    reader: Callable[[], Reader]
    closing: tuple[str, ...] = ()
    prompt: Literal["stdin", "file"] = "stdin"
    form: Callable[[str], str] = str
    prompt_name: str = "prompt.md"
    written_name: str = ""
    keys: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    permanent: Mapping[int, str] = field(default_factory=dict)
    litter: tuple[str, ...] = ()
    grace: float = 10.0
    probe: tuple[str, ...] = ("--version",)
