"""The routes of OpenAI's API."""

import time

from starlette.routing import BaseRoute, Route
from starlette.types import Scope

from mmm_server.http.hot import HotRoute, Page, Serving
from mmm_server.http.openai.embeddings import EmbeddingsHandler
from mmm_server.http.openai.models import check_model, list_models, show_model
from mmm_server.http.reply import Reply

EMBEDDINGS, MODELS, MODEL = "/v1/embeddings", "/v1/models", "/v1/models/{model}"


def openai_routes(serving: Serving) -> list[BaseRoute]:
    """The routes of this surface."""
    engine, settings, created = serving.engine, serving.engine.settings, int(time.time())

    def show(scope: Scope) -> Reply:
        check_model(scope.get("path_params", {}).get("model", settings.model_name), settings)
        return show_model(settings, created)

    return [
        Route(EMBEDDINGS, HotRoute(serving, EMBEDDINGS, EmbeddingsHandler(engine)), methods=["POST"]),
        Route(MODELS, Page(MODELS, lambda _: list_models(settings, created)), methods=["GET"]),
        # A name may hold a slash, as those of model hubs do.
        Route("/v1/models/{model:path}", Page(MODEL, show), methods=["GET"]),
    ]
