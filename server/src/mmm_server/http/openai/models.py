"""GET /v1/models and /v1/models/{model}."""

from mmm_server.errors import ModelNotFound
from mmm_server.http.reply import Reply, json_reply
from mmm_server.settings import Settings

OWNER = "multimodal-operator"


def check_model(name: str, settings: Settings) -> None:
    """ModelNotFound unless it is the name of the model that is served."""
    if name != settings.model_name:
        raise ModelNotFound("No model of that name is served here; GET /v1/models lists what is.", field="model")


def list_models(settings: Settings, created: int) -> Reply:
    """The one model, served since `created` (seconds since the epoch)."""
    return json_reply({"object": "list", "data": [_entry(settings, created)]})


def show_model(settings: Settings, created: int) -> Reply:
    """The entry of the one model."""
    return json_reply(_entry(settings, created))


def _entry(settings: Settings, created: int) -> dict[str, object]:
    return {"id": settings.model_name, "object": "model", "created": created, "owned_by": OWNER}
