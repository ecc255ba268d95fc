"""The service as one ASGI application, for whatever serves those: uvicorn on one machine.

    POST /v1/completions    OpenAI's completion, see completions.py
    POST /infill            llama-server's, see infill.py
    GET  /v1/models         what answers
    GET  /health            the process is there
    GET  /ready             a model is loaded; neither of both asks for a token

It neither opens nor closes the engine, and keeps nothing between requests but caches.
"""

from collections.abc import Awaitable, Callable
from functools import partial

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from inference import Engine, EngineState
from team import completions, infill
from team.answering import Answering
from team.completions import CompletionBody
from team.infill import InfillBody
from team.metrics import Metrics
from team.settings import ServiceSettings
from team.wire import Refused, answer

Handler = Callable[[Request], Awaitable[Response]]


def create_app(
    engine: Engine, settings: ServiceSettings, metrics: Metrics | None = None
) -> Starlette:
    """Return the application in front of an engine; `metrics` are shown elsewhere, if at all."""
    answering = Answering(engine, settings, metrics or Metrics())

    async def models(request: Request) -> Response:
        answering.let_in(request)
        status = engine.status()
        model = {
            "id": status.model,
            "object": "model",
            "created": 0,
            "owned_by": "inkling",
            "inkling": {"fills_holes": status.fills_holes, "model_bytes": status.model_bytes},
        }
        return answer({"object": "list", "data": [model] if status.model else []})

    async def health(_: Request) -> Response:
        return answer({"status": "ok"})

    async def ready(_: Request) -> Response:
        state = engine.status().state
        if state is not EngineState.READY:
            raise Refused(503, f"the engine is {state}", retry_after=1.0)
        return answer({"status": "ready"})

    fill: dict[str, Handler] = {
        completions.ROUTE: partial(answering.fill, body_type=CompletionBody),
        infill.ROUTE: partial(answering.fill, body_type=InfillBody),
    }
    shown: dict[str, Handler] = {"/v1/models": models, "/health": health, "/ready": ready}
    app = Starlette(
        routes=[
            *(_route(answering, "POST", path, handle) for path, handle in fill.items()),
            *(_route(answering, "GET", path, handle) for path, handle in shown.items()),
        ],
        exception_handlers={HTTPException: partial(_nothing_here, answering)},
    )
    app.router.redirect_slashes = False
    return app


def _route(answering: Answering, method: str, path: str, handle: Handler) -> Route:
    return Route(path, answering.boundary(path, handle), methods=[method])


async def _nothing_here(answering: Answering, request: Request, error: Exception) -> Response:
    """Answer what has no route, or not this method, as everything is answered."""
    assert isinstance(error, HTTPException)
    status, allowed = error.status_code, (error.headers or {}).get("Allow")
    message = "there is nothing here" if status == 404 else "this is asked for in another way"

    async def refuse(_: Request) -> Response:
        raise Refused(status, message)

    response = await answering.boundary("other", refuse)(request)
    if allowed and response.status_code == status:
        response.headers["Allow"] = allowed
    return response
