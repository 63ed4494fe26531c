"""Types that many bodies share."""

from __future__ import annotations

from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Name = Annotated[
    str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]+$")
]
"""An id or a name: no control characters."""

Words = Annotated[str, StringConstraints(max_length=10_000, pattern=r"^[^\x00]*$")]
"""What a person writes. No database takes NUL in a text."""

Lane = Annotated[str, StringConstraints(max_length=200, pattern=r"^[A-Za-z0-9._@-]+$")]
"""A lane's name."""

Moment = Annotated[float, Field(description="Seconds since 1970.")]

AttemptNumber = Annotated[int, Field(ge=1, le=2**31 - 1, description="As the claim named it.")]

Seconds = Annotated[float, Field(ge=0, le=366 * 86_400, allow_inf_nan=False)]

AboveZero = Annotated[float, Field(gt=0, le=366 * 86_400, allow_inf_nan=False)]

Item = TypeVar("Item")


class Given(BaseModel):
    """A body that somebody sends; a field that we do not know is refused."""

    model_config = ConfigDict(extra="forbid")


class Page(BaseModel, Generic[Item]):
    """Part of a listing."""

    items: list[Item]
    next: str | None = Field(
        description="Cursor of what comes after; null at the end.", examples=["WzEyM10"]
    )


class Problem(BaseModel):
    """What was wrong (RFC 9457)."""

    type: str = Field(examples=["about:blank"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(description="One line.", examples=["no job 1b9d6bcd"])

    model_config = ConfigDict(extra="allow")


class Refused(BaseModel):
    """A job that nothing was done to."""

    id: str
    why: str


Labels = dict[str, float]
Json = Any
