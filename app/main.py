"""The HTTP application."""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from app import problems
from app.deps import make_service
from app.routes import annotate, collections, events, health, images, jobs, page, search, urls
from app.settings import Settings
from model.encoder import Encoder

DESCRIPTION = "Finds photos by the words visible in them. Errors are problem documents (RFC 9457)."


class HeadAsGet:
    """Answers HEAD as GET: the server leaves the body out. Monitors and `curl -I` ask so."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] == "http" and scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        await self._app(scope, receive, send)


def create_app(settings: Settings, encoder: Encoder) -> FastAPI:
    """Return the application.

    Args:
        settings: With the URL of a database.
        encoder: The network.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service = make_service(settings, encoder)
        service.encoder.encode_texts(
            ["ready"]
        )  # prepares the text branch: the first search is as fast as any
        app.state.service = service
        starter = threading.Thread(target=service.begin, name="start", daemon=True)
        starter.start()
        yield
        service.stopping.set()
        starter.join()
        service.end()

    app = FastAPI(
        title="glyphseek",
        description=DESCRIPTION,
        version=version("glyphseek"),
        lifespan=lifespan,
        redirect_slashes=False,
        responses=problems.documented(421),
        docs_url=None,  # app.routes.page has them without files from elsewhere
        redoc_url=None,
    )
    hosts = (
        settings.allowed_hosts
        if settings.host in ("0.0.0.0", "::")
        else (*settings.allowed_hosts, settings.host)
    )
    app.add_middleware(
        problems.SmallBodies,
        max_bytes=problems.MAX_BODY_BYTES,
        except_paths=("/images", "/annotate", "/search/image"),
    )
    app.add_middleware(problems.KnownHosts, hosts=hosts)
    app.add_middleware(HeadAsGet)
    problems.install(app)
    app.state.pulse = events.Pulse()
    for module in (urls, images, search, annotate, jobs, collections, health, events, page):
        app.include_router(module.router)
    return app
