"""The web application: its routers, and what stands around them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware import Middleware

from vibe_tasks.web import events_api, health, metrics, static_files, stream
from vibe_tasks.web.answers import Answers
from vibe_tasks.web.api import routers
from vibe_tasks.web.bodies import Bodies
from vibe_tasks.web.guard import Guard
from vibe_tasks.web.problems import add_handlers
from vibe_tasks.web.services import Services

OPENAPI = "/api/v1/openapi.json"


def create_app(services: Services) -> FastAPI:
    """The application of one web process."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await services.hub.start()
        await services.intake.start()
        yield
        await services.intake.stop()
        await services.hub.stop()

    files = static_files.static_files()
    # The interactive pages of FastAPI come from other addresses, and its redirects repeat Host.
    app = FastAPI(
        title="vibe-tasks", lifespan=lifespan, openapi_url=OPENAPI, docs_url=None, redoc_url=None,
        redirect_slashes=False, middleware=_around(services, {*health.PATHS, *files}),
    )  # fmt: skip
    app.state.services = services
    add_handlers(app)
    app.include_router(health.router(services))
    for router in (
        events_api.router(services), *routers.routers(services), metrics.router(services),
    ):  # fmt: skip
        app.include_router(router)
    app.router.routes.extend(stream.routes(services))
    app.router.routes.extend(static_files.routes(files))
    routers.describe(app)
    return app


def _around(services: Services, open_paths: set[str]) -> list[Middleware]:
    """What stands around the application, the outermost first."""
    settings, monotonic = services.settings, services.monotonic
    return [
        Middleware(Answers, monotonic=monotonic),
        Middleware(
            Guard, access=services.access, rate=settings.web_rate, open_paths=open_paths,
            monotonic=monotonic,
        ),
        Middleware(Bodies, limit=settings.web_max_body, patience=settings.web_patience),
    ]  # fmt: skip
