"""How long a pod may take to end: until no client knows it any more, and until its longest request is answered.

SIGTERM ─ drain delay: still accepts ─► no new connection ─ a head, then the longest request ─► grace period is over
"""

import math
from collections.abc import Iterator

from mmm_operator.api.v1alpha1 import Runtime
from mmm_operator.settings import Settings

REQUEST_TIMEOUT_SECONDS = 30.0  # the server's own default
LAST_SECONDS = 10  # for the head of the last request, and for the process to end
ARGUMENT = "request_timeout_seconds"


def grace_seconds(runtime: Runtime, settings: Settings) -> int:
    """The grace period of the pods of a model, which may allow its requests more time than others."""
    wanted = settings.drain_delay_seconds + math.ceil(longest_request(runtime)) + LAST_SECONDS
    return max(settings.grace_seconds, wanted)


def longest_request(runtime: Runtime) -> float:
    """Seconds that the server may spend on one request; of several arguments the last one counts, as in the server."""
    asked = [seconds for argument in runtime.args for seconds in _seconds(argument.removeprefix("--set="))]
    return asked[-1] if asked else REQUEST_TIMEOUT_SECONDS


def _seconds(argument: str) -> Iterator[float]:
    name, _, value = argument.partition("=")
    try:
        seconds = float(value)
    except ValueError:
        return  # the server refuses it in words
    if name == ARGUMENT and 0 < seconds < math.inf:
        yield seconds
