import logging
from collections.abc import Iterator

import pytest

from app import logs


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []  # `configure` closes those it finds
    yield
    root.handlers, root.level = handlers, level


def test_a_line_says_when_who_what_and_the_fields(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO", "worker")
    logging.getLogger("x").info("photo %d done", 7, extra={"action": "index", "name_of": "a\nb"})
    line = capsys.readouterr().err
    assert line.count("\n") == 1  # what comes from outside starts no line of its own
    assert line.endswith("worker INFO photo 7 done action='index' name_of='a\\nb'\n")
    assert line[:2] == "20"


def test_level_and_chatty_libraries(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO", "api")
    logging.getLogger("x").debug("too small")
    for name in ("httpx2", "alembic.runtime", "faiss.loader", "uvicorn.access"):
        logging.getLogger(name).info("chat")
        logging.getLogger(name).warning("trouble")
    assert capsys.readouterr().err.count("\n") == 4


def test_errors_show_where_they_come_from(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO", "api")
    try:
        raise RuntimeError("broken")
    except RuntimeError as exc:
        logging.getLogger("x").error("failed", exc_info=exc)
    assert "RuntimeError: broken" in capsys.readouterr().err
