"""The operations surface, on its own port: /metrics, /v1/status, /version."""

from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version

from fastapi import FastAPI
from starlette.responses import Response

from mmm_server.engine.engine import Engine
from mmm_server.metrics import CONTENT_TYPE

DISTRIBUTION = "multimodal-operator"


def build_version() -> str:
    """The version of the installed distribution."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown"


def add_operations_routes(app: FastAPI, engine: Engine) -> None:
    """Adds the operations routes of one engine."""
    build = {"version": build_version()}

    @app.get("/metrics")
    async def metrics() -> Response:
        """Everything, for Prometheus."""
        return Response(engine.metrics.render(), media_type=CONTENT_TYPE)

    @app.get("/v1/status")
    async def status() -> dict[str, object]:
        """What is served, on what, and how it is doing: the operator reads this."""
        return {**_status(engine), "build": build}

    @app.get("/version")
    async def show_version() -> dict[str, str]:
        """The build."""
        return build


def _status(engine: Engine) -> dict[str, object]:
    settings, failure, device = engine.settings, engine.lifecycle.failure, engine.device
    depth, inflight, wait = engine.queue
    reported = asdict(device) if device else {}
    return {
        "state": engine.lifecycle.state,
        "model": {
            "name": settings.model_name,
            "version": engine.version.name,
            "digest": engine.version.digest,
            "tasks": list(engine.tasks),
            "architecture": engine.capabilities.architecture if engine.capabilities else None,
        },
        "device": {
            "kind": reported.get("kind"),
            "name": reported.get("name"),
            "dtype": reported.get("dtype"),
            "memoryBytes": reported.get("memory_bytes"),
            "cosine": reported.get("cosine"),
        },
        "swap": engine.swap.as_members() if engine.swap else None,
        "batchLimit": engine.batch_limit,
        "loadSeconds": engine.load_seconds,
        "queue": {"depth": depth, "inflight": inflight, "estimatedWaitSeconds": wait},
        "failure": {"reason": failure.reason, "message": failure.message} if failure else None,
    }
