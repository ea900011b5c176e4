"""JSON logs: one line per fact, to standard error."""

import json
import logging
import sys
from datetime import UTC, datetime

QUIET = ("uvicorn", "uvicorn.error", "transformers", "huggingface_hub", "PIL", "asyncio", "python_multipart")


class JsonFormatter(logging.Formatter):
    """Renders a record and the `fields` that came with it as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of one record."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def set_up_logs(level: str) -> None:
    """Sends every logger's records to standard error as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in QUIET:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.ERROR)


def fields(**values: object) -> dict[str, dict[str, object]]:
    """The `extra` that puts `values` beside the message of a log line."""
    return {"fields": values}
