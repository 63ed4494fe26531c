"""The coding-agent programs that plans may name."""

from __future__ import annotations

from collections.abc import Mapping

from vibe_tasks.agents.preset import Preset
from vibe_tasks.agents.presets.aider import AIDER
from vibe_tasks.agents.presets.claude import CLAUDE
from vibe_tasks.agents.presets.codex import CODEX
from vibe_tasks.agents.presets.gemini import GEMINI
from vibe_tasks.agents.presets.mini_swe_agent import MINI_SWE_AGENT
from vibe_tasks.agents.presets.opencode import OPENCODE

PRESETS: Mapping[str, Preset] = {
    preset.name: preset for preset in (CLAUDE, CODEX, GEMINI, AIDER, OPENCODE, MINI_SWE_AGENT)
}
"""By name; a further program is one more file in `presets/` and one more word here."""
