"""The last words of the process: a JSON line where the kubelet picks up the termination message."""

import json
import logging
from pathlib import Path

from mmm_server.errors import Fatal
from mmm_server.logs import fields

log = logging.getLogger(__name__)

# The kubelet keeps 4096 bytes for the whole pod; a sentence that is cut is better than a line that is no JSON.
MESSAGE_CHARS = 1024


def write_termination(path: Path, fatal: Fatal) -> None:
    """Leaves reason and message of `fatal` at `path` and in the log; a path that cannot be written is only logged."""
    log.error(fatal.message, extra=fields(reason=fatal.reason, exit_code=fatal.exit_code))
    line = json.dumps({"reason": fatal.reason, "message": fatal.message[:MESSAGE_CHARS]}, ensure_ascii=False)
    try:
        path.write_text(line + "\n", encoding="utf-8")
    except OSError:
        log.warning("the termination log cannot be written", extra=fields(path=str(path)))
