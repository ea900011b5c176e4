"""The two applications: inference and health on one port, operations on the other."""

from collections.abc import Collection, Iterator, Mapping

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from mmm_server.engine.engine import Engine
from mmm_server.errors import MethodNotAllowed, NotFound, Refused, Unprocessable
from mmm_server.http.bodies import BodyReader
from mmm_server.http.docs_page import docs_route
from mmm_server.http.envelope import Envelope
from mmm_server.http.exchange import exchange_of
from mmm_server.http.hot import HotRoute, Page, Serving
from mmm_server.http.mirror import Mirror
from mmm_server.http.oip.routes import oip_routes
from mmm_server.http.openai.routes import openai_routes
from mmm_server.http.openapi.document import describe
from mmm_server.http.problems import problem_reply, shape_of
from mmm_server.http.routes.health import add_health_routes
from mmm_server.http.routes.predict import friendly_routes
from mmm_server.http.routes.status import add_operations_routes, build_version
from mmm_server.http.smoke import SmokeRun
from mmm_server.http.tally import Tally

Asked = tuple[str, str]  # method and path
ANY_VERSION = "{version}"


def inference_app(engine: Engine, mirror: Mirror | None = None) -> Envelope:
    """The application of port 8080."""
    app = _bare("Multimodal inference")
    serving = Serving(engine, BodyReader(engine.limits), Tally(), mirror or Mirror(engine.metrics, None))
    app.router.routes[:0] = [*friendly_routes(serving), *oip_routes(serving), *openai_routes(serving)]
    add_health_routes(app, engine)
    app.openapi = lambda: describe(app.title, app.version, engine)  # type: ignore[method-assign]
    app.router.routes.append(docs_route(app.openapi))
    model = engine.settings.model_name
    shortcut = Shortcut({asked: found for route in app.routes for asked, found in _shortcuts(route, model)}, app)
    engine.examine = SmokeRun(shortcut, engine.settings)
    return Envelope(shortcut, engine, _paths(app.routes))


def operations_app(engine: Engine) -> ASGIApp:
    """The application of port 8081."""
    app = _bare("Multimodal inference: operations")
    add_operations_routes(app, engine)
    return Envelope(app, engine, _paths(app.routes))


class Shortcut:
    """Leads straight to the raw routes, past the framework's layers, which cost more than the routes themselves.

    A path that names a version is known with ANY_VERSION in its place: which one is served changes.
    """

    def __init__(self, known: Mapping[Asked, ASGIApp], rest: ASGIApp) -> None:
        self._known = {asked: app for asked, app in known.items() if ANY_VERSION not in asked[1]}
        self._of_versions = {asked: app for asked, app in known.items() if ANY_VERSION in asked[1]}
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        found = None
        if scope["type"] == "http":
            found = self._known.get((scope["method"], scope["path"])) or self._of_version(scope)
        await (found or self._rest)(scope, receive, send)

    def _of_version(self, scope: Scope) -> ASGIApp | None:
        """The route of a path that names a version, which is then a parameter as if the path had been taken apart."""
        head, named, tail = scope["path"].rpartition("/versions/")
        version, slash, rest = tail.partition("/")
        found = self._of_versions.get((scope["method"], f"{head}{named}{ANY_VERSION}{slash}{rest}"))
        if found is not None:
            scope["path_params"] = {"version": version}
        return found


def _shortcuts(route: BaseRoute, model: str) -> Iterator[tuple[Asked, ASGIApp]]:
    """What leads to a raw route as clients spell it: with the name of the one model, which may hold a slash."""
    if isinstance(route, Route) and isinstance(route.endpoint, HotRoute | Page):
        path = route.path.replace(":path}", "}").format(model=model, version=ANY_VERSION)
        for method in route.methods or ():
            yield (method, path), route.endpoint


def _bare(title: str) -> FastAPI:
    """FastAPI with problem documents instead of its own error bodies, and without pages that need the internet."""
    app = FastAPI(title=title, version=build_version(), docs_url=None, redoc_url=None, redirect_slashes=False)

    @app.exception_handler(HTTPException)
    async def on_http_exception(request: Request, error: HTTPException) -> Response:
        response = _problem(request, _refusal(error, _alike(app.routes, exchange_of(request.scope).path)))
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(Refused)
    async def on_refused(request: Request, error: Refused) -> Response:
        exchange_of(request.scope).refused = error
        return _problem(request, error)

    @app.exception_handler(Exception)
    async def on_bug(request: Request, error: Exception) -> Response:
        # The framework raises it again after this answer, and the envelope logs it.
        return _problem(request, Refused("The server failed on this request."))

    return app


def _paths(routes: Collection[BaseRoute]) -> list[str]:
    return sorted({path for route in routes if (path := getattr(route, "path", None))})


def _alike(routes: Collection[BaseRoute], path: str) -> list[str]:
    """The paths of the protocol that a path belongs to."""
    return [known for known in _paths(routes) if shape_of(known) is shape_of(path)]


def _refusal(error: HTTPException, paths: Collection[str]) -> Refused:
    if error.status_code == 404:
        return NotFound(f"No such route; known are {', '.join(paths)}.")
    if error.status_code == 405:
        return MethodNotAllowed("The route exists, but not for this method.")
    return Unprocessable("The request cannot be processed.")


def _problem(request: Request, refused: Refused) -> Response:
    exchange = exchange_of(request.scope)
    reply = problem_reply(refused, exchange.path, exchange.request_id)
    return Response(reply.body, reply.status, {name.decode(): value.decode() for name, value in reply.headers})
