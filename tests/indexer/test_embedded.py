"""Real servers, killed in the ways in which a laptop kills them."""

import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import psycopg
import pytest
from sqlalchemy import Connection, create_engine, make_url, text

from indexer.embedded import EmbeddedPostgres
from indexer.errors import GlyphseekError
from indexer.server_state import server_processes

PROJECT = Path(__file__).parents[2]
STARTER = """
import sys, time
from pathlib import Path
from indexer.embedded import EmbeddedPostgres
EmbeddedPostgres(Path(sys.argv[1])).start()
print("ready", flush=True)
time.sleep(600)
"""


def query(server: EmbeddedPostgres, statement: str) -> list[object]:
    engine = create_engine(server.url)
    try:
        with engine.begin() as connection:
            result = connection.execute(text(statement))
            return list(result.scalars()) if result.returns_rows else []
    finally:
        engine.dispose()


def postmaster_pid(data_dir: Path) -> int:
    return int((data_dir / "postgres/postmaster.pid").read_text().splitlines()[0])


@contextmanager
def starter(data_dir: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that starts a server in the folder, prints a line and waits to be killed."""
    command = [sys.executable, "-c", STARTER, str(data_dir)]
    process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE)
    try:
        yield process
    finally:
        kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


def wait_for(condition: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def processes_of(folder: Path) -> list[str]:
    """Every process that works in the folder or has it among its arguments: server, watchdog, initdb."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != os.getpid() and str(folder) in " ".join([process.cwd(), *process.cmdline()]):
                found.append(f"{process.pid} {process.cmdline()}")
    return found


def copy(template: Path, folder: Path) -> Path:
    subprocess.run(["cp", "-a", template, folder], check=True)  # the owner too, who may be another user
    return folder


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a database: copying it is much quicker than making a new one."""
    folder = tmp_path_factory.mktemp("template") / "data"
    with EmbeddedPostgres(folder):
        pass
    return folder


@pytest.fixture(scope="module")
def server(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(copy(template, tmp_path_factory.mktemp("shared") / "data")) as running:
        yield running


@pytest.fixture
def new_dir(tmp_path: Path) -> Iterator[Path]:
    """A data folder that is not there yet; in the end no process may be left that has to do with it."""
    folder = tmp_path / "it's \"André's\" 写真"
    yield folder
    wait_for(lambda: not processes_of(folder))


@pytest.fixture
def data_dir(template: Path, new_dir: Path) -> Path:
    return copy(template, new_dir)


@pytest.fixture
def connection(server: EmbeddedPostgres) -> Iterator[Connection]:
    engine = create_engine(server.url)
    with engine.connect() as open_connection:
        yield open_connection
    engine.dispose()


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("fsync", "on"),  # an acknowledged photo survives a power cut
        ("synchronous_commit", "on"),
        ("listen_addresses", ""),  # nobody reaches it by network
        ("server_encoding", "UTF8"),
        ("max_connections", "100"),
        ("shared_buffers", "128MB"),
    ],
)
def test_settings(connection: Connection, setting: str, expected: str) -> None:
    assert connection.execute(text(f"SHOW {setting}")).scalar_one() == expected


def test_version(connection: Connection) -> None:
    assert connection.execute(text("SHOW server_version")).scalar_one().startswith("18.")


def test_text_rules_do_not_depend_on_the_machine(connection: Connection) -> None:
    assert connection.execute(text("SELECT lower('ÉÀΣ')")).scalar_one() == "éàσ"
    words = connection.execute(text("SELECT w FROM unnest(ARRAY['é', 'b', 'a', 'B']) w ORDER BY w")).scalars()
    assert list(words) == ["B", "a", "b", "é"]


def test_url(server: EmbeddedPostgres) -> None:
    url = make_url(server.url)
    assert server.url.startswith("postgresql+psycopg://glyphseek@/glyphseek?host=")
    assert (url.drivername, url.username, url.database) == ("postgresql+psycopg", "glyphseek", "glyphseek")


def test_a_port_in_the_environment_changes_nothing(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPORT", "6543")
    assert query(server, "SELECT current_user || current_database()") == ["glyphseekglyphseek"]


def test_socket_is_private_and_its_path_short(server: EmbeddedPostgres) -> None:
    folder = Path(str(make_url(server.url).query["host"]))
    assert folder.stat().st_mode & 0o777 == 0o700
    assert len(os.fsencode(folder / ".s.PGSQL.5432")) <= 107


def test_long_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("long" * 25)))
    folder = Path(str(make_url(EmbeddedPostgres(tmp_path).url).query["host"]))
    assert len(os.fsencode(folder / ".s.PGSQL.5432")) <= 107


def test_data_survives_a_restart(data_dir: Path) -> None:
    server = EmbeddedPostgres(data_dir)
    assert not server.alive
    with server:
        assert server.alive
        query(server, "CREATE TABLE photos AS SELECT 42 AS id")
        pid = postmaster_pid(data_dir)
        assert os.getsid(pid) != os.getsid(0), "Ctrl-C in our terminal must not reach the server"
        server.start()
        assert postmaster_pid(data_dir) == pid, "a second start must change nothing"
    assert not server.alive
    assert not processes_of(data_dir)
    assert not Path(str(make_url(server.url).query["host"])).exists()
    server.stop()
    with EmbeddedPostgres(data_dir) as again:
        assert again.url == server.url
        assert query(again, "SELECT id FROM photos") == [42]


def test_stop_cuts_open_transactions(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as server:
        engine = create_engine(server.url)
        with engine.connect() as open_connection:
            open_connection.execute(text("CREATE TABLE photos (id int)"))
            started = time.monotonic()
            server.stop()
            assert time.monotonic() - started < 10
            open_connection.invalidate()
        engine.dispose()


def test_killed_server_starts_again(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as server:
        query(server, "CREATE TABLE photos AS SELECT 42 AS id")
        os.kill(postmaster_pid(data_dir), signal.SIGKILL)
        wait_for(lambda: not server.alive)
        server.start()
        assert server.alive
        assert query(server, "SELECT id FROM photos") == [42]


def test_killed_watchdog_leaves_one_server(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as server:
        watchdog = psutil.Process(postmaster_pid(data_dir)).parent()
        assert watchdog is not None
        watchdog.kill()
        wait_for(lambda: not server.alive)
        assert server_processes(data_dir / "postgres"), "the case that is tested: a server nobody watches"
        server.start()
        running = {process.pid: process.ppid() for process in server_processes(data_dir / "postgres")}
        assert [pid for pid, parent in running.items() if parent not in running] == [postmaster_pid(data_dir)]


@pytest.mark.parametrize(
    "wait", [True, False]
)  # until all is gone, or start while the old server still stops
def test_killed_parent_takes_the_server_along(data_dir: Path, *, wait: bool) -> None:
    with starter(data_dir) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        assert server_processes(data_dir / "postgres")
    if wait:
        wait_for(lambda: not processes_of(data_dir), seconds=10)
    with EmbeddedPostgres(data_dir) as server:
        assert query(server, "SELECT 1") == [1]


def test_kill_during_creation_blocks_nothing(new_dir: Path) -> None:
    with starter(new_dir):
        wait_for(lambda: list(new_dir.glob("postgres.new-*/PG_VERSION")))
    assert not (new_dir / "postgres").exists(), "the case that is tested: killed before it was whole"
    with EmbeddedPostgres(new_dir) as server:
        assert query(server, "SELECT 1") == [1]


def test_remains_of_a_creation_are_removed(new_dir: Path) -> None:
    remains = new_dir / "postgres.new-abc/base"
    remains.mkdir(parents=True)
    (remains / "1").write_bytes(b"half")
    with EmbeddedPostgres(new_dir):
        names = {path.name for path in new_dir.iterdir()}
    assert names == {"postgres", "postgres.lock", "postgres.log"}


def test_remains_that_name_a_living_stranger(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as server:
        socket_dir = Path(str(make_url(server.url).query["host"]))
    owner = (data_dir / "postgres").stat()
    # Of the server's own user: only such a process number makes Postgres refuse to start.
    as_owner = {} if os.geteuid() else {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
    stranger = subprocess.Popen(["sleep", "600"], cwd="/", **as_owner)  # type: ignore[call-overload]
    try:
        (data_dir / "postgres/postmaster.pid").write_text(
            f"{stranger.pid}\n{data_dir}/postgres\n1700000000\n5432\n{socket_dir}\n\n1 1\nready   \n"
        )
        socket_dir.mkdir(mode=0o700)
        (socket_dir / ".s.PGSQL.5432").touch()
        (socket_dir / ".s.PGSQL.5432.lock").write_text(f"{stranger.pid}\n")
        with EmbeddedPostgres(data_dir) as server:
            assert query(server, "SELECT 1") == [1]
        assert stranger.poll() is None, "the stranger must be left alone"
    finally:
        kill(stranger)


def test_second_user_of_a_folder_is_refused(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as server:
        other = EmbeddedPostgres(data_dir)
        with pytest.raises(GlyphseekError, match="another glyphseek"):
            other.start()
        assert not other.alive
        other.stop()
        assert query(server, "SELECT 1") == [1]


def test_two_starts_at_once(new_dir: Path) -> None:
    servers = [EmbeddedPostgres(new_dir) for _ in range(2)]
    refusals = []

    def start(server: EmbeddedPostgres) -> None:
        try:
            server.start()
        except GlyphseekError as error:
            refusals.append(error)

    threads = [threading.Thread(target=start, args=(server,)) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alive = [server for server in servers if server.alive]
    assert (len(alive), len(refusals)) == (1, 1)
    assert query(alive[0], "SELECT 1") == [1]
    alive[0].stop()


def test_refusal_to_start_gives_the_reason_and_the_log(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as server:
        pass
    (data_dir / "postgres/PG_VERSION").write_text("12\n")
    with pytest.raises(GlyphseekError, match="incompatible with server") as error:
        server.start()
    assert str(data_dir / "postgres.log") in str(error.value)
    assert not server.alive
    assert not processes_of(data_dir)


def test_failed_creation_gives_the_reason(new_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("indexer.embedded._NAME", "pg_glyphseek")  # initdb refuses names that begin with pg_
    with pytest.raises(GlyphseekError, match=r"could not be created.*initdb: error"):
        EmbeddedPostgres(new_dir).start()
    monkeypatch.undo()
    with EmbeddedPostgres(new_dir) as server:
        assert query(server, "SELECT 1") == [1]


def test_data_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(GlyphseekError, match="cannot be started"):
        EmbeddedPostgres(tmp_path / "file").start()


def test_socket_folder_of_someone_else(new_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = EmbeddedPostgres(new_dir)
    folder = Path(str(make_url(server.url).query["host"]))
    folder.symlink_to(new_dir)  # as another user of the machine could have made it
    try:
        with pytest.raises(GlyphseekError, match=folder.name):
            server.start()
    finally:
        folder.unlink()


def test_big_log_is_put_aside(data_dir: Path) -> None:
    (data_dir / "postgres.log").write_bytes(b"line\n" * 2_000_001)
    with EmbeddedPostgres(data_dir):
        assert (data_dir / "postgres.log").stat().st_size < 100_000
        assert (data_dir / "postgres.log.old").stat().st_size == 10_000_005


def test_long_recovery_is_waited_for_and_reported(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("indexer.embedded._REPORT_INTERVAL_SECONDS", 0.01)  # recovery here takes 0.1 s
    caplog.set_level(logging.INFO, logger="indexer.embedded")
    with EmbeddedPostgres(data_dir) as server:
        query(server, "CREATE TABLE photos AS SELECT generate_series(1, 50000) AS id")
        os.kill(postmaster_pid(data_dir), signal.SIGKILL)
        wait_for(lambda: not server.alive)
        caplog.clear()
        server.start()
        assert "the database is recovering" in caplog.text
        assert query(server, "SELECT count(*) FROM photos") == [50000]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to give its rights away")
def test_started_by_root(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with EmbeddedPostgres(closed / "data") as server:
        pids = {process.pid: process.uids() for process in server_processes(closed / "data/postgres")}
        assert pids
        assert all(0 not in uids for uids in pids.values())
        assert query(server, "SELECT 1") == [1]
    assert closed.stat().st_mode & 0o777 == 0o700, "folders must not be opened to others"
    assert closed.stat().st_uid == (closed / "data").stat().st_uid == 0
    assert (closed / "data/postgres").stat().st_uid != 0


def test_ordinary_connection_errors_stay_psycopgs(server: EmbeddedPostgres) -> None:
    host = str(make_url(server.url).query["host"])
    with pytest.raises(psycopg.OperationalError, match="no_such"):
        psycopg.connect(host=host, port=5432, user="glyphseek", dbname="no_such")
