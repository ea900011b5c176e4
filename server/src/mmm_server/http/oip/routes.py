"""The routes under /v2."""

from collections.abc import Callable

from starlette.routing import BaseRoute, Route
from starlette.types import Scope

from mmm_server.engine.engine import Engine
from mmm_server.http.hot import HotRoute, Page, Serving
from mmm_server.http.oip import metadata
from mmm_server.http.oip.infer import Infer
from mmm_server.http.oip.stats import statistics
from mmm_server.http.reply import Reply

MODEL = "/v2/models/{model}"
VERSION = f"{MODEL}/versions/{{version}}"

Look = Callable[[Engine], Reply]


def oip_routes(serving: Serving) -> list[BaseRoute]:
    """The routes of this surface."""
    engine = serving.engine

    def stats(engine: Engine) -> Reply:
        return statistics(engine, serving.tally)

    of_server: dict[str, Look] = {
        "/v2": metadata.server_metadata,
        "/v2/health/live": metadata.live,
        "/v2/health/ready": metadata.ready,
        "/v2/models": metadata.model_list,
        "/v2/models/stats": stats,
    }
    of_model: dict[str, Look] = {"": metadata.model_metadata, "/ready": metadata.model_ready, "/stats": stats}
    return [
        *(_infer(serving, f"{root}/infer") for root in (MODEL, VERSION)),
        *(_page(path, _whoever(engine, look)) for path, look in of_server.items()),
        *(
            _page(f"{root}{path}", _if_served(engine, look))
            for root in (MODEL, VERSION)
            for path, look in of_model.items()
        ),
    ]


def _infer(serving: Serving, path: str) -> Route:
    return Route(path, HotRoute(serving, path, Infer(serving.engine)), methods=["POST"])


def _page(path: str, look: Callable[[Scope], Reply]) -> Route:
    return Route(path, Page(path, look), methods=["GET"])


def _whoever(engine: Engine, look: Look) -> Callable[[Scope], Reply]:
    return lambda _: look(engine)


def _if_served(engine: Engine, look: Look) -> Callable[[Scope], Reply]:
    def checked(scope: Scope) -> Reply:
        metadata.check_served(scope, engine.settings.model_name, engine.version)
        return look(engine)

    return checked
