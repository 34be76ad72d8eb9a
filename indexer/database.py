"""Connections to Postgres: engine, session, migrations and notifications."""

import logging
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import URL, event, func, make_url, select
from sqlalchemy import Engine as Engine  # for those who may not import sqlalchemy
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session as Session

import indexer
from indexer.errors import DatabaseRefuses, DatabaseUnavailable, StorageFull

log = logging.getLogger(__name__)

# What only somebody with more rights can change, or what passes when a stand-by takes over.
_REFUSALS = psycopg.errors.InsufficientPrivilege | psycopg.errors.ReadOnlySqlTransaction
CONNECT_TIMEOUT_SECONDS = 5
STATEMENT_TIMEOUT_MS = 60_000
# A server that lives ends a statement itself, and says so, before this.
ANSWER_TIMEOUT_SECONDS = STATEMENT_TIMEOUT_MS / 1000 + 5
CHANGE_CHANNEL = "glyphseek_changes"  # news for the vector indexes
QUEUE_CHANNEL = "glyphseek_queue"  # news for the workers


def database_url(url: str | URL) -> URL:
    """Return `url` with the driver that glyphseek uses; `postgres://` and `postgresql://` are understood.

    Raises:
        ValueError: it is no URL of a Postgres.
    """
    try:
        parsed = make_url(url)
    except (sqlalchemy.exc.ArgumentError, ValueError):  # of a port that is no number; it may be the password
        raise ValueError(
            "the database URL cannot be read; @, : and / in a password are written %40, %3A and %2F"
        ) from None
    if parsed.drivername.split("+")[0] not in ("postgres", "postgresql"):
        raise ValueError(f"the database URL must begin with postgresql://, not {parsed.drivername}://")
    return parsed.set(drivername="postgresql+psycopg")


def create_engine(url: str | URL, *, pool_size: int = 10) -> Engine:
    """Return an engine for `url`; nothing is connected yet.

    A connection that died, or whose server hangs, is noticed before use: at the latest 5 s later. Connecting
    gives up after 5 s, a statement after 60 s, or 65 s if the server hangs in the middle of it.
    """
    engine = sqlalchemy.create_engine(
        database_url(url),
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=CONNECT_TIMEOUT_SECONDS,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_SECONDS,
            "tcp_user_timeout": 20_000,
            "application_name": "glyphseek",
            "options": f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c timezone=UTC",
        },
    )
    event.listen(engine, "do_connect", _connect)
    event.listen(engine, "checkout", _be_patient)
    event.listen(engine, "checkin", _be_impatient)
    return engine


class _Connection(psycopg.Connection[Any]):
    """Gives up on a server that hangs, which says nothing and yet keeps its connections open."""

    timeout_seconds: float = CONNECT_TIMEOUT_SECONDS

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        if timeout is not None:  # somebody else's, which is no sign of anything
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, self.timeout_seconds)
        except psycopg.errors._WaitTimeout:
            self.pgconn.finish()  # the answer may still come; nobody would expect it then
            raise


def _connect(dialect: Any, record: Any, arguments: Any, options: Any) -> _Connection:
    return _Connection.connect(*arguments, **options)


def _be_patient(connection: _Connection, record: Any, proxy: Any) -> None:
    connection.timeout_seconds = ANSWER_TIMEOUT_SECONDS


def _be_impatient(connection: _Connection | None, record: Any) -> None:
    """In the pool, a connection is only asked whether it lives."""
    if connection is not None:
        connection.timeout_seconds = CONNECT_TIMEOUT_SECONDS


@contextmanager
def driver_errors() -> Iterator[None]:
    """Turn errors of the connection and missing tables into `DatabaseUnavailable`; name a full disk."""
    try:
        yield
    except DBAPIError as exc:
        reason = str(exc.orig).partition("\n")[0]
        if isinstance(exc.orig, psycopg.errors.DiskFull):
            raise StorageFull(
                "the disk of the database is full; free some space there and try again"
            ) from exc
        if isinstance(exc.orig, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn):
            raise DatabaseUnavailable(
                "the tables of the database are not those of this version; run `glyphseek migrate`"
            ) from exc
        if exc.connection_invalidated or isinstance(exc, OperationalError | InterfaceError):
            raise DatabaseUnavailable(reason=reason) from exc
        if exc.statement is None or isinstance(exc.orig, _REFUSALS):  # None: it happened on connecting
            raise DatabaseRefuses(reason=reason) from exc
        raise
    except PoolTimeout as exc:
        raise DatabaseUnavailable from exc


@contextmanager
def session_scope(engine: Engine) -> Iterator[Session]:
    """Yield a session; commit at the end of the block, roll back on any error.

    Objects stay readable after the block.

    Raises:
        DatabaseUnavailable: Postgres cannot be reached, or gave up in the middle.
        StorageFull: the disk of the database is full.
    """
    with driver_errors(), Session(engine, expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def reading_scope(engine: Engine) -> Iterator[Session]:
    """Yield a session for reading, whose statements each see the database of their own moment.

    It takes a connection at the first statement; nothing is begun or committed, which takes time too.

    Raises:
        DatabaseUnavailable: Postgres cannot be reached, or gave up in the middle.
    """
    unbegun = engine.execution_options(isolation_level="AUTOCOMMIT")
    with driver_errors(), Session(unbegun) as session:
        yield session


@contextmanager
def snapshot_scope(engine: Engine) -> Iterator[Session]:
    """Yield a session for reading whose statements all see the database of one moment.

    Raises:
        DatabaseUnavailable: Postgres cannot be reached, or gave up in the middle.
    """
    with driver_errors(), engine.connect() as connection:
        connection = connection.execution_options(isolation_level="REPEATABLE READ")
        with Session(connection, expire_on_commit=False) as session, session.begin():
            yield session


def _alembic_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(indexer.__file__).parent.parent / "migrations"))
    return config


def migrate(url: str | URL) -> None:
    """Bring the tables of `url` to the newest revision; safe to run twice and by several processes at once.

    Alembic keeps its context in a module: one thread of a process at a time.

    Raises:
        DatabaseUnavailable: Postgres cannot be reached.
        DatabaseRefuses: This user may not make tables, or they are of a newer version.
    """
    # Without a statement timeout: a migration of a big table may take long.
    engine = sqlalchemy.create_engine(
        database_url(url), connect_args={"connect_timeout": CONNECT_TIMEOUT_SECONDS}
    )
    config = _alembic_config()
    try:
        with driver_errors(), engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as exc:
        raise DatabaseRefuses(
            "the tables of the database are of another version of glyphseek, perhaps a newer one; "
            "install that one again",
            reason=str(exc),
        ) from exc
    finally:
        engine.dispose()


@dataclass(frozen=True)
class MigrationState:
    """Revision of the tables as they are (`None`: no tables) and as this program needs them."""

    current: str | None
    head: str | None

    @property
    def up_to_date(self) -> bool:
        """Whether the tables are the ones that this program needs."""
        return self.current == self.head


def migration_state(engine: Engine) -> MigrationState:
    """Return how the tables stand.

    Raises:
        DatabaseUnavailable: Postgres cannot be reached.
    """
    head = ScriptDirectory.from_config(_alembic_config()).get_current_head()
    with driver_errors(), engine.connect() as connection:
        return MigrationState(MigrationContext.configure(connection).get_current_revision(), head)


def notify(session: Session, channel: str) -> None:
    """Wake everyone who listens to `channel` at the commit of this transaction."""
    session.execute(select(func.pg_notify(channel, "")))


def listen(
    url: str | URL, channel: str, stop: threading.Event, *, poll_seconds: float = 1.0
) -> Generator[None, None, None]:
    """Yield at once, and then whenever `channel` is notified or `poll_seconds` have passed, until `stop`.

    A notification can be lost with its connection, so a yield says "look", not "there is something". While
    Postgres is away the yields go on every `poll_seconds`. Ends within `poll_seconds` of `stop`.
    """
    conninfo = database_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    while not stop.is_set():
        try:
            with _Connection.connect(
                conninfo, autocommit=True, connect_timeout=CONNECT_TIMEOUT_SECONDS
            ) as connection:
                connection.execute(psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(channel)))
                while not stop.is_set():
                    yield
                    # Ends early at the first notification; what waits already is taken with it.
                    for _ in connection.notifies(timeout=poll_seconds, stop_after=1):
                        pass
        except psycopg.Error as exc:
            log.warning(
                "no notifications from Postgres, polling",
                extra={"action": "listen", "channel": channel, "error": str(exc)},
            )
            yield
            stop.wait(poll_seconds)
