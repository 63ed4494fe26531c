"""The ledger's upkeep, settings, and what the doctor finds."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field

from vibe_tasks.web.models.kinds import Given, Moment


class Schema(BaseModel):
    """The schema, compared with what this program expects."""

    version: int
    differences: list[str] = Field(description="Empty where it is as it should be.")


Days = Annotated[float, Field(ge=0, le=36_500, allow_inf_nan=False)]


class ArchiveGiven(Given):
    """What is old."""

    days: Days | None = Field(
        default=None,
        description="History that is older goes to the archive; null: as the settings say.",
    )
    jobs_days: Days | None = Field(
        default=None,
        description="Jobs that ended before go there; null: as the settings say.",
    )


class ArchivedJobs(BaseModel):
    """Jobs that have ended."""

    moved: int = Field(description="Jobs that went to the archive.")
    ended: int = Field(description="Those that are not there.")
    archive: int = Field(description="Those that are.")


class Archived(BaseModel):
    """Rows of the history and of its archive."""

    moved: int = Field(description="Rows of the history that went to the archive.")
    history: int
    archive: int
    jobs: ArchivedJobs
    deleted: dict[str, int] = Field(description="Rows that were deleted, by table.")
    folders: int = Field(description="Jobs whose files were deleted from the server's host.")
    more: bool = Field(description="Whether there is more to do: ask again.")


class Taken(BaseModel):
    """What the ledger takes."""

    size: int = Field(description="Bytes of the SQLite file, or of the server's database.")
    free: int | None = Field(description="Bytes in it that hold nothing; null on a server.")
    log: int = Field(description="Bytes of SQLite's write-ahead log.")
    dead: int = Field(description="Rows that nobody sees any more, on a server.")


class Vacuumed(BaseModel):
    """What a vacuum did."""

    before: Taken
    after: Taken
    slices: int = Field(description="Transactions on SQLite, tables on a server.")
    more: bool = Field(description="Whether there is more to give back: ask again.")


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


class AuditEntry(BaseModel):
    """What somebody did."""

    id: int
    at: Moment
    actor: str = Field(description="`USER@HOST` of a command, the name of a token over HTTP.")
    role: str | None = Field(description="Of the token; null for who needed none.")
    source: str = Field(description="cli, http, python or upkeep.")
    origin: str = Field(description="The host of a command, the address of who asked over HTTP.")
    action: str = Field(examples=["job.cancel"])
    target: str | None = Field(description="A job's or plan's id, a lane's or worker's name …")
    details: Any
