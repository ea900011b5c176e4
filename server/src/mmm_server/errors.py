"""Every error of the server.

    ServerError
    ├── Fatal                    ends the process: reason and exit code go to the termination log
    │   ├── BadSettings          2   the environment makes no sense
    │   ├── UnsupportedModel     3   no backend for the architecture
    │   ├── UnsupportedTask      3   the model cannot do what it was told to offer
    │   ├── UnsafeArtifact       3   pickle, code or a broken safetensors header
    │   ├── DigestMismatch       3   the bytes are not the wanted ones
    │   ├── ModelLoadFailed      3   (1 where a retry may heal: the files are not there yet)
    │   ├── AcceleratorUnavailable 3
    │   ├── WarmUpFailed         3
    │   ├── SmokeTestFailed      3   loaded, warm, and answers other than the version's own smoke.json says
    │   ├── OutOfMemory          3
    │   ├── NoRoomForSwap        3   (ends a swap, never the process)
    │   └── InternalError        1   a bug or a dead inference thread
    └── Refused                  ends one request: becomes a problem document
        ├── Malformed            400
        ├── Invalid              400  a value that the protocol does not allow
        ├── NotFound             404
        │   └── ModelNotFound    404
        ├── MethodNotAllowed     405
        ├── SlowClient           408
        ├── TooLarge             413
        ├── UnsupportedType      415
        ├── Unprocessable        422  limits and semantics
        ├── Overloaded           429  with Retry-After
        ├── HeadTooLarge         431
        ├── ClientGone           499  nobody reads it; it exists for the metrics
        ├── InferenceFailed      500
        ├── NotReady             503  with Retry-After
        ├── TooManyConnections   503  with Retry-After
        └── DeadlinePassed       504

The text of an error is a sentence written for whoever reads it: never the text of another exception, a path, an address
or an echo of the input.
"""

from typing import ClassVar


class ServerError(Exception):
    """The root of the tree."""


class Fatal(ServerError):
    """The process cannot go on; `reason` is the machine word for it."""

    exit_code: int = 3

    @property
    def reason(self) -> str:
        """The CamelCase word that ends up in the custom resource."""
        return type(self).__name__

    @property
    def message(self) -> str:
        """The sentence for a human."""
        return str(self)


class BadSettings(Fatal):
    """The environment makes no sense. The operator writes the environment, so to a user it is an internal error."""

    exit_code = 2

    @property
    def reason(self) -> str:
        """The word for the operator, which knows no other for this."""
        return InternalError.__name__


class UnsupportedModel(Fatal):
    """No backend serves this architecture."""


class UnsupportedTask(Fatal):
    """The model cannot do one of the tasks that it was told to offer."""


class UnsafeArtifact(Fatal):
    """The model directory holds something that could run code, or weights that cannot be trusted."""


class DigestMismatch(Fatal):
    """The files are not the ones that the digest names."""


class ModelLoadFailed(Fatal):
    """The files could not be made into a model."""

    def __init__(self, message: str, *, retry_helps: bool = False) -> None:
        super().__init__(message)
        self.exit_code = 1 if retry_helps else 3


class AcceleratorUnavailable(Fatal):
    """An accelerator is required and none can be used."""


class WarmUpFailed(Fatal):
    """The model loaded but could not answer an example."""


class SmokeTestFailed(Fatal):
    """The model answered a request of its smoke.json otherwise than that says, or the file cannot be read."""


class NoRoomForSwap(Fatal):
    """Another version does not fit beside the one that is served; that one goes on."""


class OutOfMemory(Fatal):
    """The device memory does not hold the model."""


class InternalError(Fatal):
    """A bug, or an inference thread that died."""

    exit_code = 1


class DeviceOutOfMemory(ServerError):
    """One batch did not fit into the device's memory; a smaller one may."""


class Refused(ServerError):
    """One request cannot be answered; `status`, `code` and `title` describe the class of the problem."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "The server failed"

    def __init__(self, detail: str, *, retry_after: float | None = None, field: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after = retry_after
        self.field = field  # the name of the request's field that is wrong, as the protocol spells it

    def about(self, subject: str) -> "Refused":
        """The same refusal, saying which part of the request it is about."""
        return type(self)(f"{subject}: {self.detail}", retry_after=self.retry_after, field=self.field)


class Malformed(Refused):
    """The bytes are not what they claim to be."""

    status, code, title = 400, "malformed", "The request cannot be read"


class Invalid(Refused):
    """A value that the protocol does not allow; where it says 400 and the friendly routes would say 422."""

    status, code, title = 400, "invalid-value", "The request has a value that is not allowed"


class NotFound(Refused):
    """No such route."""

    status, code, title = 404, "not-found", "No such route"


class ModelNotFound(NotFound):
    """Another model or version than the one served."""

    code, title = "model-not-found", "No such model"


class MethodNotAllowed(Refused):
    """The route exists, for another method."""

    status, code, title = 405, "method-not-allowed", "Method not allowed"


class SlowClient(Refused):
    """The body did not arrive in time."""

    status, code, title = 408, "slow-client", "The request did not arrive in time"


class TooLarge(Refused):
    """More bytes than the server reads."""

    status, code, title = 413, "too-large", "The request body is too large"


class UnsupportedType(Refused):
    """A media type or image format that the server does not read."""

    status, code, title = 415, "unsupported-type", "Unsupported media type"


class Unprocessable(Refused):
    """Readable, but beyond a limit or without meaning."""

    status, code, title = 422, "unprocessable", "The request cannot be processed"


class TaskNotOffered(Unprocessable):
    """The model does something else."""

    code, title = "task-not-offered", "The model does not offer this task"


class Overloaded(Refused):
    """The queue is full."""

    status, code, title = 429, "overloaded", "The server is full"


class HeadTooLarge(Refused):
    """More header fields than the server reads."""

    status, code, title = 431, "head-too-large", "The head of the request is too large"


class ClientGone(Refused):
    """The client closed the connection before the answer."""

    status, code, title = 499, "client-gone", "The client is gone"


class InferenceFailed(Refused):
    """The model failed on this item."""

    status, code, title = 500, "inference-failed", "The model failed"


class NotReady(Refused):
    """The model is not loaded yet, or not any more."""

    status, code, title = 503, "not-ready", "The model is not ready"


class TooManyConnections(Refused):
    """No room for another connection."""

    status, code, title = 503, "too-many-connections", "Too many connections"


class DeadlinePassed(Refused):
    """The answer would come too late."""

    status, code, title = 504, "deadline-passed", "The deadline passed"
