import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from app import supervisor
from app.settings import Settings
from app.supervisor import Supervisor
from indexer import watchdog
from indexer.errors import DatabaseUnavailable, GlyphseekError


@pytest.fixture
def port() -> int:
    """A port that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def settings(tmp_path: Path, database_url: str, port: int) -> Settings:
    return Settings(data_dir=tmp_path / "data", database_url=database_url, port=port)


@pytest.fixture
def spawned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have the API sleep and the worker end at once; return the names of the parts as they start."""
    names: list[str] = []

    def spawn(self: Supervisor, name: str) -> subprocess.Popen[bytes]:
        names.append(name)
        command = ["sleep", "1000"] if name == "api" else ["false"]
        guard = [sys.executable, "-I", "-S", str(watchdog.__file__), "SIGTERM"]
        return subprocess.Popen([*guard, *command], stdin=subprocess.PIPE, start_new_session=True)

    monkeypatch.setattr(Supervisor, "_spawn", spawn)
    return names


def test_what_ends_is_started_again_and_what_lives_is_left(
    settings: Settings, spawned: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "FIRST_PAUSE_SECONDS", 0.01)
    stop, others = threading.Event(), psutil.Process().children()
    with Supervisor(settings) as running:
        thread = threading.Thread(target=running.run, args=(stop,))
        thread.start()
        children = set(psutil.Process().children()) - set(others)
        deadline = time.monotonic() + 30
        while spawned.count("worker") < 3:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        stop.set()
        thread.join()
    assert spawned.count("api") == 1
    assert children
    assert [child for child in children if child.is_running()] == []


def test_pauses_grow_up_to_a_limit(settings: Settings) -> None:
    parts = Supervisor(settings)
    pauses = []
    for _ in range(8):
        with subprocess.Popen("false") as ended:
            pass
        parts._note_end("worker", ended)
        pauses.append(round(parts._next_start["worker"] - time.monotonic()))
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]
    assert parts._next_start["api"] == 0


def test_who_lived_for_long_is_started_again_at_once(settings: Settings) -> None:
    parts = Supervisor(settings)
    pauses = []
    for seconds in (1, 1, 500, 1):
        with subprocess.Popen("false") as ended:
            pass
        parts._started["worker"] = time.monotonic() - seconds
        parts._note_end("worker", ended)
        pauses.append(round(parts._next_start["worker"] - time.monotonic()))
    assert pauses == [1, 2, 1, 2]


def test_a_data_folder_has_one_user_at_a_time(settings: Settings, spawned: list[str]) -> None:
    with Supervisor(settings):
        with pytest.raises(GlyphseekError, match="another glyphseek is using the data folder"):
            Supervisor(settings).__enter__()
        assert spawned == ["api", "worker"]  # of the first alone
    with Supervisor(settings):  # free again
        pass


def test_a_port_that_is_taken(settings: Settings, spawned: list[str], port: int) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        with pytest.raises(GlyphseekError, match=f"127.0.0.1:{port}.*GLYPHSEEK_PORT"):
            Supervisor(settings).__enter__()
    assert spawned == []
    with Supervisor(settings):  # the folder was let go
        pass


@pytest.mark.parametrize("folder", ["file", "file/below", "/proc/nowhere"])
def test_a_data_folder_that_cannot_be_used(settings: Settings, tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").touch()
    settings = settings.model_copy(update={"data_dir": tmp_path / folder})
    with pytest.raises(GlyphseekError, match=r"data folder .* cannot be used"):
        Supervisor(settings).__enter__()


def test_a_database_of_somebody_else_gets_some_time(
    settings: Settings, spawned: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "DATABASE_SECONDS", 0.1)
    settings = settings.model_copy(update={"database_url": "postgresql://127.0.0.1:1/x"})
    with pytest.raises(DatabaseUnavailable):
        Supervisor(settings).__enter__()
    assert spawned == []


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),  # listens everywhere; this is how to reach it
        ("::", "http://[::1]:80"),  # IPv6 alone
        ("::1", "http://[::1]:80"),
        ("photos.example", "http://photos.example:80"),
    ],
)
def test_where_it_answers(host: str, url: str) -> None:
    assert Supervisor(Settings(host=host, port=80)).url == url
