"""Logs: JSON, one line per fact, with the key of the object that it is about."""

import datetime as dt
import json
import logging
import sys

KEY = "key"
# Libraries that narrate: theirs are only heard when something is wrong.
TALKATIVE = ("kopf", "aiohttp", "asyncio", "kubernetes")


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        fact = {
            "time": dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        key = getattr(record, KEY, None)
        if key is not None:
            fact[KEY] = str(key)
        if record.exc_info:
            fact["exception"] = self.formatException(record.exc_info)
        return json.dumps(fact, ensure_ascii=False)


def set_up_logs(level: str) -> None:
    """Everything at `level` and above goes to standard error as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    handler.addFilter(_tame)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)


def _tame(record: logging.LogRecord) -> bool:
    """Whether to write the record at all; what kopf calls an error is a passing trouble of a watch to us."""
    if record.name.startswith("kopf"):
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        # The supervisor says why kopf ended; its traceback would only show kopf's insides.
        record.exc_info = record.exc_text = None
        # kopf runs beside the main thread on purpose: the signals are ours.
        return not record.getMessage().startswith("OS signals are ignored")
    return True
