"""The ledger's upkeep, settings, and what the doctor finds."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field

from vibe_tasks.web.models.kinds import Given


class Schema(BaseModel):
    """The schema, compared with what this program expects."""

    version: int
    differences: list[str] = Field(description="Empty where it is as it should be.")


class ArchiveGiven(Given):
    """What is old."""

    days: Annotated[float, Field(ge=0, le=36_500, allow_inf_nan=False)] = Field(
        default=7.0, description="Rows that are older go to the archive."
    )


class Archived(BaseModel):
    """Rows of the history and of its archive."""

    moved: int
    history: int
    archive: int


class Setting(BaseModel):
    """A setting; secrets are masked."""

    name: str
    value: Any
    source: str = Field(examples=["default", "vibe.toml", "VIBE_HOME"])


class Config(BaseModel):
    """The effective settings of this server."""

    settings: list[Setting]
    in_use: dict[str, str] = Field(description="Home, ledger and broker.")


class Finding(BaseModel):
    """The outcome of one check."""

    check: str
    ok: bool
    text: str
    mend: str = Field(description="What to do about it; with ok this is a warning.")
    there: bool
