"""What the server and its one model are, in the words of the protocol."""

from starlette.types import Scope

from mmm_server.engine.engine import Engine
from mmm_server.engine.version import Version
from mmm_server.errors import ModelNotFound, NotReady
from mmm_server.http.oip.call import IMAGE, OUTPUTS, PROBABILITIES, TEXT
from mmm_server.http.reply import Reply, json_reply
from mmm_server.http.routes.status import DISTRIBUTION, build_version

EXTENSIONS = ["binary_tensor_data", "statistics"]
PLATFORM = "mmm_safetensors"
ANY = -1  # a size that the client chooses
RETRY_SECONDS = 2.0


def check_served(scope: Scope, model: str, version: Version | None) -> None:
    """ModelNotFound unless the path names the model, and the version if any, that is served.

    A path that was found as a whole has no parameters: it names them.
    """
    wanted = scope.get("path_params", {})
    if wanted.get("model", model) != model:
        raise ModelNotFound("No model of that name is served here; GET /v2/models lists what is.")
    if version is not None and wanted.get("version", version.name) != version.name:
        raise ModelNotFound("This version of the model is not served here; the model's metadata names the one that is.")


def server_metadata(engine: Engine) -> Reply:
    """The server's name, version and extensions."""
    return json_reply({"name": DISTRIBUTION, "version": build_version(), "extensions": EXTENSIONS})


def model_list(engine: Engine) -> Reply:
    """The name of the one model."""
    return json_reply({"models": [engine.settings.model_name]})


def model_metadata(engine: Engine) -> Reply:
    """Inputs and outputs of the tasks on offer; NotReady until the model is loaded."""
    if engine.capabilities is None:
        raise NotReady("The model is not ready.", retry_after=RETRY_SECONDS)
    made = {name: inputs for name, (inputs, task) in OUTPUTS.items() if task in engine.tasks}
    read = [name for name in (IMAGE, TEXT) if any(name in inputs for inputs in made.values())]
    last = {name: ANY if name == PROBABILITIES else engine.capabilities.dimensions for name in made}
    return json_reply(
        {
            "name": engine.settings.model_name,
            "versions": [engine.version.name],
            "platform": PLATFORM,
            "inputs": [{"name": name, "datatype": "BYTES", "shape": [ANY]} for name in read],
            "outputs": [{"name": name, "datatype": "FP32", "shape": [ANY, last[name]]} for name in made],
        }
    )


def live(engine: Engine) -> Reply:
    """Whether a restart would not help."""
    if not engine.alive:
        raise NotReady("The inference thread does not work any more.", retry_after=RETRY_SECONDS)
    return json_reply({"live": True})


def ready(engine: Engine) -> Reply:
    """Whether traffic is wanted."""
    _check_ready(engine)
    return json_reply({"ready": True})


def model_ready(engine: Engine) -> Reply:
    """Whether the model can be asked."""
    _check_ready(engine)
    return json_reply({"name": engine.settings.model_name, "ready": True})


def _check_ready(engine: Engine) -> None:
    if not (engine.lifecycle.ready and engine.alive):
        raise NotReady("The model is not ready.", retry_after=RETRY_SECONDS)
