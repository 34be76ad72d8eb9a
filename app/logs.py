"""One log line an event: time, level, message, and the fields given as `extra`."""

import logging
import sys

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}


class LineFormatter(logging.Formatter):
    """Adds the extra fields to the message, as `name=value`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        fields = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        line = super().format(record)
        return " ".join([line, *(f"{name}={value!r}" for name, value in fields.items())])


def configure(level: str, process: str) -> None:
    """Log to standard error.

    Args:
        level: Least level that is shown.
        process: Name of this process, shown in each line.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter(f"%(asctime)s {process} %(levelname)s %(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for chatty in ("httpx2", "alembic", "faiss", "uvicorn.access"):
        logging.getLogger(chatty).setLevel("WARNING")
