"""The operator's exceptions.

    OperatorError
     ├ SettingsError          the operator's own configuration is wrong: say what to set, exit 2
     └ KubeError              an answer of the API server; raised by `kube` only
        ├ Conflict            409: somebody else owns the field or the object changed; look again
        ├ Forbidden           403: the message names the verb and resource that RBAC lacks
        ├ Refused             children could not be written; the message is for the object's status
        └ Transient           429, 5xx, network: the same call may work later

An object that does not exist is no exception: `kube` answers None. Waiting is none either: a plan
carries `requeue_after`.
"""


class OperatorError(Exception):
    """Base of everything that the operator raises on purpose."""


class SettingsError(OperatorError):
    """The operator's configuration cannot be used; the text says what to set."""


class KubeError(OperatorError):
    """The API server refused a call.

    `status` is the HTTP status (0 when no answer came), `retry_after` the server's wish in seconds.
    """

    def __init__(self, message: str, *, status: int = 0, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class Conflict(KubeError):
    """409: the object changed meanwhile, or another field manager owns what we want to write."""


class Forbidden(KubeError):
    """403: RBAC, admission or quota said no; the message is the API server's own."""


class Refused(KubeError):
    """The API server refuses some children as they are; the message is its own and belongs on the object."""


class Transient(KubeError):
    """The API server is overloaded, restarting or out of reach; the same call may work later."""
