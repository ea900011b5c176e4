"""/livez, /readyz and /startupz: what a probe needs to know, and with ?verbose also why."""

from fastapi import FastAPI, Request
from starlette.responses import PlainTextResponse, Response

from mmm_server.engine.engine import Engine
from mmm_server.engine.lifecycle import State


def add_health_routes(app: FastAPI, engine: Engine) -> None:
    """Adds the probes of one engine."""

    @app.get("/livez", response_class=PlainTextResponse)
    async def livez(request: Request) -> Response:
        """Whether a restart would not help: 503 once the inference thread is dead or stuck."""
        return _report(request, engine, engine.alive)

    @app.get("/readyz", response_class=PlainTextResponse)
    async def readyz(request: Request) -> Response:
        """Whether traffic is wanted: the model is loaded and warm; while draining only where that is set."""
        return _report(request, engine, engine.alive and _wanted(engine))

    @app.get("/startupz", response_class=PlainTextResponse)
    async def startupz(request: Request) -> Response:
        """Whether the model was loaded and warmed up."""
        return _report(request, engine, engine.lifecycle.answering)


def _wanted(engine: Engine) -> bool:
    lifecycle = engine.lifecycle
    leaves = engine.settings.ready_while_draining and lifecycle.state is State.DRAINING
    return lifecycle.ready or (leaves and lifecycle.answering)


def _report(request: Request, engine: Engine, good: bool) -> Response:
    word = "ok" if good else "not ok"
    if "verbose" in request.query_params:
        state = engine.lifecycle.state
        lines = [f"[{'+' if state is not State.FAILED else '-'}] state {state}"]
        lines.append(f"[{'+' if engine.alive else '-'}] inference thread")
        if engine.lifecycle.failure is not None:
            lines.append(f"[-] {engine.lifecycle.failure.reason}: {engine.lifecycle.failure.message}")
        word = "\n".join([*lines, word])
    return PlainTextResponse(word + "\n", status_code=200 if good else 503, headers={"cache-control": "no-store"})
