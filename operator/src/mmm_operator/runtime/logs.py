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
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("kopf._core.reactor.running").addFilter(_not_about_signals)


def _not_about_signals(record: logging.LogRecord) -> bool:
    # kopf runs beside the main thread on purpose: the signals are ours.
    return not record.getMessage().startswith("OS signals are ignored")
