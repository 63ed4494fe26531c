"""Who is asking, and whether they may: tokens, roles, Host and Origin.

`Guard` asks once for each request and WebSocket and leaves the answer in the scope; a route says
`Depends(needs("operate"))`, or asks `identity(scope)` itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, Literal

from fastapi import Security
from fastapi.requests import Request
from fastapi.security import HTTPBearer
from fastapi.security.http import HTTPAuthorizationCredentials
from starlette.exceptions import HTTPException
from starlette.types import Scope

from vibe_tasks.access import LOCAL, ROLES, Identity, Token, identity_of, tokens_of
from vibe_tasks.settings import Settings

IDENTITY = "vibe.identity"
"""Key of a scope: the Identity of who asks, None for somebody without a token."""

CHALLENGE = {"WWW-Authenticate": 'Bearer realm="vibe"'}

RoleName = Literal["read", "operate", "admin"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who may come in.

    Attributes:
        tokens: The tokens that count.
        origins: Origins of other pages that may use us, such as `http://localhost:5173`.
    """

    tokens: tuple[Token, ...] = field(default=(), repr=False)
    origins: frozenset[str] = frozenset()

    @property
    def is_open(self) -> bool:
        """Whether everybody on this machine may do everything."""
        return not self.tokens

    def identity(self, secret: str | None) -> Identity | None:
        """Who shows this secret; None for nobody we know."""
        if self.is_open:
            return LOCAL
        return None if secret is None else identity_of(self.tokens, secret)


def access_of(settings: Settings) -> Access:
    """What the settings say about who may come in."""
    return Access(
        tokens=tokens_of(settings.api_token, settings.api_tokens),
        origins=frozenset(settings.web_origins),
    )


def identity(scope: Scope) -> Identity | None:
    """Who asks; None for somebody without a token."""
    found: Identity | None = scope.get(IDENTITY)
    return found


def require(scope: Scope, role: RoleName) -> Identity:
    """Who asks, if they have this role.

    Raises:
        HTTPException: 401 for somebody without a token, 403 for a role that is too low.
    """
    found = identity(scope)
    if found is None:
        raise HTTPException(401, "a token is needed: Authorization: Bearer TOKEN", CHALLENGE)
    if found.role < ROLES[role]:
        raise HTTPException(403, f"this needs the role {role}; yours is {found.role.word}")
    return found


_bearer = HTTPBearer(auto_error=False, description="A token of VIBE_API_TOKEN or VIBE_API_TOKENS.")


def needs(role: RoleName) -> Callable[..., Awaitable[Identity]]:
    """A dependency of a route: its callers have this role; its value is who asks."""

    async def check(
        request: Request,
        _shown: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
    ) -> Identity:
        return require(request.scope, role)

    return check
