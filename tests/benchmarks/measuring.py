"""What the benchmarks share: a running service, its memory, time, ranking, and tables."""

import json
import os
import platform
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import numpy as np
import psutil
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from app.client import Client, Photo
from app.ingest import ingest
from indexer.errors import GlyphseekError
from model.evaluation.evaluate import Queries, frequent
from model.evaluation.metrics import average_precision

START_SECONDS = 300.0
WIDE_COLUMNS = 6
LETTERS = list("abcdefghijklmnopqrstuvwxyz")
console = Console(soft_wrap=True, highlight=False)


@contextmanager
def service(command: str, data_dir: Path, **environment: str) -> Iterator[tuple[str, int]]:
    """Run `glyphseek <command>` on a free port until the end of the block; yield its URL and process id.

    Settings are taken from the environment, but for the database, which is its own if none is given here.

    Raises:
        GlyphseekError: it ended, or was not ready in time.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {"DATA_DIR": str(data_dir), "PORT": str(port), "LOG_LEVEL": "WARNING"} | environment
    around = {name: value for name, value in os.environ.items() if name != "GLYPHSEEK_DATABASE_URL"}
    process = subprocess.Popen(
        [sys.executable, "-m", "app", command],
        env=around | {f"GLYPHSEEK_{name}": value for name, value in settings.items()},
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _await_ready(url, process)
        yield url, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _await_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    with Client(url) as client:
        while process.poll() is None and time.monotonic() < deadline:
            try:
                if client.health().status == "ok":
                    return
            except GlyphseekError:
                pass  # it does not listen yet
            time.sleep(0.05)
    raise GlyphseekError("the service did not become ready")


def index(client: Client, photos: Sequence[Photo]) -> None:
    """Send photos, and return when all can be searched.

    Raises:
        GlyphseekError: some were known or refused.
    """
    report = ingest(client, photos, collection="default", progress=lambda *_: None)
    if report.indexed != len(photos):
        raise GlyphseekError(f"only {report.indexed} of {len(photos)} photos were indexed")


def resident_mib(pid: int) -> dict[str, float]:
    """Return the resident memory of `glyphseek api` and `worker` at or below a process, in MiB."""
    found = {}
    process = psutil.Process(pid)
    for child in [process, *process.children(recursive=True)]:
        command = child.cmdline()
        # Not the watchdogs, whose last arguments are the same.
        if command[-1:] in (["api"], ["worker"]) and not any("watchdog" in part for part in command):
            found[command[-1]] = child.memory_info().rss / 2**20
    return found


class Asker:
    """Asks through one connection, as a browser does: what a client makes of an answer is not timed."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        connect = HTTPSConnection if address.scheme == "https" else HTTPConnection
        self._connection = connect(address.netloc)

    def milliseconds(self, query: str, path: str = "/search", **parameters: object) -> float:
        """Return what an answer took.

        Raises:
            GlyphseekError: it is a refusal.
        """
        started = time.perf_counter()
        self._connection.request("GET", f"{path}?{urlencode({'q': query, **parameters})}")
        response = self._connection.getresponse()
        response.read()
        if response.status != HTTPStatus.OK:
            raise GlyphseekError(f"{path} for {query}: {response.status}")
        return (time.perf_counter() - started) * 1000


def latencies_ms(url: str, words: Sequence[str], clients: int, limit: int) -> NDArray[np.float64]:
    """Return what each search took, with so many clients at once, each waiting for its answer."""
    with ThreadPoolExecutor(clients) as pool:
        shares = [words[start::clients] for start in range(clients)]
        found = pool.map(lambda share: _durations(Asker(url), share, limit), shares)
        return np.array([duration for share in found for duration in share])


def _durations(asker: Asker, words: Sequence[str], limit: int) -> list[float]:
    return [asker.milliseconds(word, limit=limit) for word in words]


def random_words(count: int, seed: int = 0) -> list[str]:
    """Return words of 3 to 9 letters, the same ones for the same seed."""
    generator = np.random.default_rng(seed)
    return ["".join(generator.choice(LETTERS, generator.integers(3, 10))) for _ in range(count)]


def percentiles(milliseconds: Sequence[float] | NDArray[np.float64], name: str = "ms") -> dict[str, float]:
    """Return p50 and p99."""
    return {f"{name} p{share}": float(np.percentile(milliseconds, share)) for share in (50, 99)}


def mean_average_precision(
    scores: Callable[[str], NDArray[np.float32]], queries: Queries, names: Sequence[str]
) -> dict[str, float]:
    """Return the mAP in percent over all queries and over the 100 in most photos; equal scores by name.

    Args:
        scores: Gives, for a query, the scores of the photos in the order of `names`.
        queries: With the names of their relevant photos.
        names: Of the photos.
    """
    precisions = {
        word: average_precision(scores(word), np.array([name in relevant for name in names]), names)
        for word, relevant in queries.items()
    }
    top = [precisions[word] for word in frequent(queries)]
    return {"mAP all": 100 * float(np.mean([*precisions.values()])), "mAP top 100": 100 * float(np.mean(top))}


def precision_and_recall(found: Queries, relevant: Queries) -> dict[str, float]:
    """Return both in percent, over all pairs of a query and a photo.

    Args:
        found: Queries with the names of the photos that were found.
        relevant: The same queries with the names of those that should be.
    """
    right = sum(len(found[query] & names) for query, names in relevant.items())
    return {
        "queries": len(relevant),
        "precision": 100 * right / max(1, sum(map(len, found.values()))),
        "recall": 100 * right / sum(map(len, relevant.values())),
    }


def show(title: str, rows: Mapping[str, Mapping[str, Any]], json_path: Path | None) -> None:
    """Print a table, lines and columns exchanged if it is wide; write it with the machine's state as JSON."""
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    cells = {name: {column: row.get(column, "") for column in columns} for name, row in rows.items()}
    if len(columns) > WIDE_COLUMNS:
        cells = {column: {name: row[column] for name, row in cells.items()} for column in columns}
    table = Table("", *next(iter(cells.values())), title=title)
    for name, row in cells.items():
        table.add_row(name, *map(_cell, row.values()))
    console.print(table)
    state = machine()
    console.print(", ".join(f"{name} {value}" for name, value in state.items()))
    if json_path is not None:
        json_path.write_text(json.dumps({"title": title, "machine": state, "rows": rows}, indent=1) + "\n")


def _cell(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"


def machine() -> dict[str, Any]:
    """Return what the figures depend on: processor, cores, load, and what else keeps the cores busy."""
    own = {os.getpid()} | {child.pid for child in psutil.Process().children(recursive=True)}
    others = [process for process in psutil.process_iter() if process.pid not in own]
    usage = dict.fromkeys(others, 0.0)
    for interval in (0.0, 1.0):  # a first call only starts the measurement
        time.sleep(interval)
        for process in others:
            try:
                usage[process] = process.cpu_percent()
            except psutil.Error:
                usage[process] = 0.0
    busy = sorted((share for share in usage.values() if share > 10), reverse=True)
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 1),
        "other processes at % of a core": [round(share) for share in busy],
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.machine()
