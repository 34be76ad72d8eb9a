"""The command `glyphseek watch`."""

import signal
import time
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Annotated

import typer

from app.client import ServiceError
from app.terminal import DEFAULT_URL, Url, connect, err, out, show_report, showing_progress
from app.watch import Watcher
from indexer.errors import GlyphseekError

# What the service says of an upload that was too slow, or ended in the middle.
INTERRUPTED = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.BAD_REQUEST)


def watch(
    folder: Annotated[Path, typer.Argument(help="Folder of photos.", exists=True, file_okay=False)],
    url: Url = DEFAULT_URL,
    collection: Annotated[str, typer.Option(help="Collection to keep them in.")] = "default",
    delete: Annotated[
        bool, typer.Option("--delete", help="Photos that leave the folder leave the gallery too.")
    ] = False,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 2.0,
) -> None:
    """Keep the photos of a folder in the gallery, new and changed ones too, until Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with suppress(KeyboardInterrupt), connect(url) as client:
        out.print(f"watching {folder}; Ctrl-C ends it")
        watcher = Watcher(client, folder, collection=collection, delete=delete)
        said = None
        while True:
            said = _look(watcher, said)
            time.sleep(every)


def _look(watcher: Watcher, said: str | None) -> str | None:
    """Look once and say what happened; return the problem that there is, which is said once."""
    try:
        with showing_progress() as update:
            outcome = watcher.look(update)
    except (GlyphseekError, OSError) as exc:
        status = exc.status if isinstance(exc, ServiceError) else 0
        if 400 <= status < 500 and status not in INTERRUPTED:  # it will not say otherwise later
            raise
        problem: str | None = f"{exc}; trying again"
    else:
        problem = outcome.problem
        if outcome.sent is not None:
            show_report(outcome.sent)
        for name in outcome.deleted:
            out.print(f"deleted: {name}")
    if problem not in (None, said):
        err.print(f"glyphseek: {problem}")
    return problem
