"""What all commands write with and ask for."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from app.client import Client, ServiceError
from app.ingest import Report

# Names of files are shown as they are, [brackets] and :colons: included.
out, err = (
    Console(stderr=stderr, markup=False, emoji=False, highlight=False, soft_wrap=True)
    for stderr in (False, True)
)

DEFAULT_URL = "http://127.0.0.1:8000"
Url = Annotated[str, typer.Option("--url", help="Where the service answers.", envvar="GLYPHSEEK_URL")]

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def connect(url: str) -> Client:
    """Return a client of a service that answers now; if it goes away later, it is waited for.

    Raises:
        ServiceError: Nobody answers.
    """
    client = Client(url)
    try:
        client.health()
    except ServiceError:
        client.close()
        raise
    return client


def columns() -> tuple[TextColumn, BarColumn, MofNCompleteColumn, TimeRemainingColumn]:
    """Return the columns of a progress bar."""
    return TextColumn("{task.description:9}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a line of progress that is gone at the end; yields what takes how many of how many are done."""
    with Progress(*columns(), console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task(what)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def showing_progress() -> Iterator[Callable[[str, int, int], None]]:
    """Yield what shows how far the steps of `ingest` are, in bars; before its first call, nothing."""
    labels = {"fetch": "fetching", "check": "checking", "send": "sending", "index": "indexing"}
    progress = Progress(*columns(), console=err)
    tasks = {step: progress.add_task(label, visible=False) for step, label in labels.items()}

    def update(step: str, done: int, total: int) -> None:
        progress.start()
        progress.update(tasks[step], completed=done, total=total, visible=total > 0)

    try:
        yield update
    finally:
        progress.stop()


def show_report(report: Report) -> None:
    """Say what became of the photos of an `ingest`."""
    out.print(
        f"{report.found} photos: {report.indexed} indexed now, {report.known} known before, "
        f"{len(report.refused)} refused"
    )
    for name, reason in report.refused:
        out.print(f"refused: {name}: {reason}")


def parse_size(text: str) -> int:
    """Return the number of bytes that `500MB` or `2.5 g` means; k, M, G and T are powers of 1000.

    Raises:
        ValueError: It is no size.
    """
    number = text.strip().lower().removesuffix("b")
    unit = number[-1:] if number[-1:].isalpha() else ""
    try:
        size_bytes = int(float(number.removesuffix(unit)) * _UNITS[unit])
    except (KeyError, ValueError, OverflowError) as exc:
        raise ValueError(f"{text} is not a size such as 500MB or 2GB") from exc
    if not 0 <= size_bytes < 2**63:
        raise ValueError(f"{text} is not a size such as 500MB or 2GB")
    return size_bytes


def format_size(size_bytes: int) -> str:
    """Return a size as people write it, with three digits: `2.5 GB`."""
    size, unit = float(size_bytes), "bytes"
    for larger in ("kB", "MB", "GB"):
        if size >= 1000:
            size, unit = size / 1000, larger
    return f"{size:,.0f} {unit}" if unit == "bytes" or size >= 100 else f"{size:.3g} {unit}"
