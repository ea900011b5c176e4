"""What the operator counts as inference is what the server computes for."""

from starlette.routing import Route

from mmm_operator.scrape import counters
from mmm_server import metrics
from mmm_server.engine.engine import Engine
from mmm_server.http.app import Shortcut, inference_app
from mmm_server.http.envelope import Envelope
from mmm_server.http.hot import HotRoute
from mmm_server.metrics import Metrics
from mmm_server.settings import Settings


def hot_paths(app: Envelope) -> set[str]:
    shortcut = app._app
    assert isinstance(shortcut, Shortcut)
    routes = shortcut._rest.routes  # type: ignore[attr-defined]
    return {each.endpoint._path for each in routes if isinstance(each, Route) and isinstance(each.endpoint, HotRoute)}


def test_the_routes_that_count_are_those_that_compute() -> None:
    engine = Engine(Settings(model_digest="sha256:" + "0" * 64), Metrics(), 1)
    assert hot_paths(inference_app(engine)) == counters.ROUTES


def test_the_metrics_have_the_names_that_are_read() -> None:
    assert (metrics.REQUESTS_TOTAL, f"{metrics.REQUEST_SECONDS}_bucket") == (counters.REQUESTS, counters.SECONDS)
