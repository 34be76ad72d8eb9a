"""The command line: `glyphseek --help`."""

import gc
import json
import logging
import os
import sys
import threading
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

# Before NumPy, torch, FAISS or OpenVINO come in: their waiting threads must not keep the cores busy. NumPy
# multiplies small things only, for which its threads wait for each other longer than one of them takes.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import typer
from pydantic import ValidationError
from rich.progress import Progress
from rich.table import Table

from app import buckets, cli_collections, cli_network, cli_watch, logs, sheet
from app.client import Client, ServiceError
from app.ingest import find_photos
from app.ingest import ingest as send
from app.schemas import SearchAnswer
from app.settings import Settings
from app.stopping import end_at_signal, until_signal
from app.terminal import DEFAULT_URL, Url, columns, connect, err, out, show_report, showing_progress
from app.url_list import ingest_urls, read_list
from indexer.errors import GlyphseekError

log = logging.getLogger(__name__)

WORKER_NICENESS = 10  # people wait for searches: the API gets the processor first

cli = typer.Typer(
    help="Find photos by the words visible in them.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
# What every mistake on the command line derives from.
UsageError: Any = typer.BadParameter.__bases__[0]

GALLERY = Path(__file__).parent / "gallery"
DEMO_WORDS = ("coffee", "hotel")
START_SECONDS = 120.0
EXPORT_FORMATS = {".csv": "csv", ".json": "coco"}  # by the ending of the file

cli.add_typer(cli_collections.cli, name="collections")


@cli.command()
def serve() -> None:
    """Run database, API and worker together, until Ctrl-C."""
    settings = _start("serve")
    from app.supervisor import Supervisor

    end_at_signal()
    with Supervisor(settings) as supervisor, until_signal() as stop:
        announce = threading.Thread(target=_announce, args=(supervisor.url, stop), daemon=True)
        announce.start()
        supervisor.run(stop)
        log.info("stopping", extra={"action": "stop"})


@cli.command()
def api() -> None:
    """Run the API alone, on the database of GLYPHSEEK_DATABASE_URL."""
    settings = _start("api")
    import uvicorn

    from app.deps import TEXT_THREADS, keep_checkpoint, make_encoder
    from app.main import create_app
    from app.protocol import HttpProtocol

    settings.required_database_url()
    # Loaded here and not in the application, so that a bad checkpoint is an error of the command line.
    encoder = make_encoder(settings, device="cpu", threads=TEXT_THREADS)
    keep_checkpoint(settings, encoder)
    config = uvicorn.Config(
        create_app(settings, encoder),
        host=settings.host,
        port=settings.port,
        http=HttpProtocol,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=5,
        server_header=False,
    )
    gc.freeze()  # what is loaded stays: the collector, which would stop every search, need not look at it
    uvicorn.Server(config).run()


@cli.command()
def worker() -> None:
    """Run a worker alone, on the database of GLYPHSEEK_DATABASE_URL; several may run at once."""
    settings = _start("worker")
    from app.deps import keep_checkpoint, make_encoder
    from indexer import worker as engine
    from indexer.blobs import BlobStore

    database_url = settings.required_database_url()
    os.nice(WORKER_NICENESS)
    with until_signal() as stop:
        encoder = make_encoder(settings)
        keep_checkpoint(settings, encoder)
        engine.run(
            database_url,
            encoder,
            BlobStore(settings.photos_dir),
            stop=stop,
            batch_size=settings.batch_size,
            max_pixels=settings.max_pixels,
            hang_seconds=engine.HANG_SECONDS,
        )


@cli.command()
def migrate() -> None:
    """Bring the tables of GLYPHSEEK_DATABASE_URL up to date."""
    settings = _start("migrate")
    from indexer.database import migrate as upgrade

    if settings.database_url is None:
        raise ValueError("set GLYPHSEEK_DATABASE_URL; `glyphseek serve` migrates its own database by itself")
    upgrade(settings.database_url)


@cli.command()
def ingest(
    paths: Annotated[
        list[str] | None, typer.Argument(help="Photos, folders, globs, zips, or s3://BUCKET/FOLDER.")
    ] = None,
    url: Url = DEFAULT_URL,
    collection: Annotated[str, typer.Option(help="Collection to put the photos in.")] = "default",
    urls: Annotated[
        Path | None,
        typer.Option(
            "--urls",
            help="File with addresses of photos on the web or folders of buckets, one a line.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
) -> None:
    """Send photos to a running service and wait until they are indexed; known ones are not sent again."""
    if not paths and urls is None:
        raise typer.BadParameter(
            "name photos, folders, globs, zips or buckets in paths, or a list with --urls"
        )
    addresses = read_list(urls) if urls is not None else []
    in_buckets = [path for path in paths or [] if path.startswith(buckets.SCHEME)]
    for path in in_buckets:
        addresses += buckets.find(path)
    files = [path for path in paths or [] if path not in in_buckets]
    errors: list[OSError] = []
    photos = find_photos(files, errors.append)
    if files and not (photos or errors):
        raise GlyphseekError("there are no photos in these folders")
    with connect(url) as client:
        with showing_progress() as update:
            report = send(client, photos, collection=collection, progress=update)
            report += ingest_urls(client, addresses, collection=collection, progress=update)
        report.refused += [(str(error.filename), f"it cannot be read: {error.strerror}") for error in errors]
        show_report(report)
    if report.refused:
        raise typer.Exit(1)


cli.command()(cli_watch.watch)


@cli.command()
def search(
    query: Annotated[str, typer.Argument(help="Words, in one argument: 'coffee \"to go\" -tea'.")],
    url: Url = DEFAULT_URL,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Most photos.")] = 10,
    match: Annotated[str, typer.Option(help="similar, exact, prefix or contains.")] = "similar",
    min_score: Annotated[str | None, typer.Option(help="Least score, or `suggested`.")] = None,
    collection: Annotated[str | None, typer.Option(help="Search only this collection.")] = None,
    where: Annotated[list[str] | None, typer.Option(help="Such as meta.year>=2020, width>=1000.")] = None,
    taken_after: Annotated[datetime | None, typer.Option(help="Only photos taken then or later.")] = None,
    taken_before: Annotated[datetime | None, typer.Option(help="Only photos taken before.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the service's answer.")] = False,
    sheet_path: Annotated[
        Path | None,
        typer.Option(
            "--sheet",
            help="Also draw the best photos, with boxes, into this picture.",
            callback=sheet.writable,
        ),
    ] = None,
    export_path: Annotated[
        Path | None,
        typer.Option(
            "--export", help="Also write the whole ranking: FILE.csv, or COCO's boxes in FILE.json."
        ),
    ] = None,
) -> None:
    """Search a running service."""
    if export_path is not None and export_path.suffix.lower() not in EXPORT_FORMATS:
        raise typer.BadParameter(f"{export_path} must end in {' or '.join(EXPORT_FORMATS)}")
    wishes: dict[str, Any] = {"match": match, "min_score": min_score, "collection": collection}
    wishes |= {"where": where or (), "taken_after": taken_after, "taken_before": taken_before}
    with connect(url) as client:
        answer = client.search(query, limit=limit, **wishes)
        if as_json:
            print(json.dumps(answer.model_dump(mode="json"), ensure_ascii=False))
        else:
            _show(answer)
        if sheet_path is not None:
            sheet.draw([answer], client.file, sheet_path)
            err.print(f"wrote {sheet_path}")
        if export_path is not None:
            ranking = client.export(query, format=EXPORT_FORMATS[export_path.suffix.lower()], **wishes)
            export_path.parent.mkdir(parents=True, exist_ok=True)
            export_path.write_bytes(ranking)
            err.print(f"wrote {export_path}")


@cli.command()
def reindex(url: Url = DEFAULT_URL) -> None:
    """Index photos again: those of an earlier network if there are any, or else all; search goes on."""
    with connect(url) as client, Progress(*columns(), console=err) as progress:
        begun = client.reindex()
        task = progress.add_task("indexing", total=begun.photos)
        done = False
        while not done:
            job = client.job(begun.job)
            left = job.counts.get("queued", 0) + job.counts.get("processing", 0)
            progress.update(task, completed=begun.photos - left)
            done = job.done and _served_version(client) == begun.model_version
            time.sleep(0 if done else 0.5)
    out.print(f"{begun.photos} photos indexed again, {len(job.failures)} of them failed")


def _served_version(client: Client) -> str | None:
    """Return from which network search answers; `None` while the service is not to be reached."""
    with suppress(ServiceError):
        return client.health().served_version
    return None


@cli.command()
def status(url: Url = DEFAULT_URL) -> None:
    """Show the state of a running service, and which photos failed."""
    with connect(url) as client:
        health = client.health()
        failed = client.images(status="failed", limit=100)
    table = Table("", "", box=None, show_header=False)
    table.add_row("service", health.status)
    for name, works in health.checks.items():
        table.add_row(name, "ok" if works else "not ready")
    for name, count in sorted(health.images.items()):
        table.add_row(f"photos {name}", str(count))
    out.print(table)
    for image in failed.items:
        out.print(f"failed: {image.id} {image.name}: {image.reason}")
    if health.served_version not in (None, health.model_version):
        out.print("search answers from an earlier network until `glyphseek reindex` is through")
    if health.status != "ok":
        raise typer.Exit(1)


cli.command()(cli_network.evaluate)
cli.command()(cli_network.annotate)


@cli.command()
def demo(
    sheet_path: Annotated[
        Path, typer.Option("--sheet", help="Picture to draw the results into.", callback=sheet.writable)
    ] = Path("var/demo.png"),
    stay: Annotated[bool, typer.Option(help="Go on serving until Ctrl-C.")] = True,
) -> None:
    """Start the service, put the sample gallery in, and search it for two words."""
    settings = _start("demo")
    if "log_level" not in settings.model_fields_set:
        settings = settings.model_copy(update={"log_level": "WARNING"})
    from app.supervisor import Supervisor

    end_at_signal()
    with Supervisor(settings) as supervisor:
        stop = threading.Event()
        keeper = threading.Thread(target=supervisor.run, args=(stop,), daemon=True)
        keeper.start()
        try:
            _await_ready(supervisor.url, stop)
            _demonstrate(supervisor.url, sheet_path)
            out.print(f"\nglyphseek is at {supervisor.url} (Ctrl-C stops it)" if stay else "")
            while stay:
                time.sleep(0.5)
        finally:
            stop.set()
            keeper.join()


def _demonstrate(url: str, sheet_path: Path) -> None:
    with connect(url) as client:
        photos = find_photos([str(GALLERY)])
        with showing_progress() as update:
            report = send(client, photos, collection="samples", progress=update)
        show_report(report)
        answers = [client.search(word, limit=8, collection="samples") for word in DEMO_WORDS]
        for answer in answers:
            _show(answer)
        sheet.draw(answers, client.file, sheet_path)
    out.print(f"\nthe photos with their boxes: {sheet_path.resolve()}")


def _show(answer: SearchAnswer) -> None:
    out.print()
    took_ms = answer.took_ms["total"]
    out.print(f"{answer.query}: best of {answer.total} photos, {took_ms:.0f} ms", style="bold")
    if answer.ignored:
        out.print(f"ignored, because the network does not know it: {' '.join(answer.ignored)}")
    if answer.did_you_mean:
        out.print(f"did you mean: {', '.join(answer.did_you_mean)}")
    table = Table("score", "photo", "reads", "box x0 y0 x1 y1", box=None)
    for hit in answer.hits:
        best = hit.boxes[0] if hit.boxes else None
        box = " ".join(f"{side:.0f}" for side in best.box) if best else "no text found"
        table.add_row(f"{hit.score:.3f}", hit.image.name, best.text if best else "", box)
    out.print(table)


def _start(process: str) -> Settings:
    settings = Settings()
    logs.configure(settings.log_level, process)
    return settings


def _announce(url: str, stop: threading.Event) -> None:
    try:
        _await_ready(url, stop)
        if not stop.is_set():
            log.info("glyphseek is ready at %s", url, extra={"action": "ready"})
    except GlyphseekError as exc:
        log.warning("%s", exc, extra={"action": "ready"})


def _await_ready(url: str, stop: threading.Event) -> None:
    deadline = time.monotonic() + START_SECONDS
    with Client(url, timeout_seconds=5) as client:
        while not stop.is_set():
            try:
                if client.health().status == "ok":
                    return
            except GlyphseekError:
                if time.monotonic() > deadline:
                    raise
            stop.wait(0.2)


def main() -> None:
    """Run a command; errors are one line and exit code 2."""
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # names of files may be in no encoding
    try:
        status = cli(sys.argv[1:] or ["--help"], standalone_mode=False)
    except UsageError as exc:
        _fail(f"{exc.format_message().rstrip('.')} (see `glyphseek --help`)")
    except ValidationError as exc:
        error = exc.errors()[0]
        reason = error["msg"].removeprefix("Value error, ")
        _fail(f"GLYPHSEEK_{str(error['loc'][0]).upper()}: {reason}")
    except GlyphseekError as exc:
        _fail(exc.in_full)
    except (ValueError, OSError) as exc:
        _fail(str(exc))
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(130)
    sys.exit(status if isinstance(status, int) else 0)


def _fail(message: str) -> None:
    err.print(f"glyphseek: {' '.join(message.split())}")
    sys.exit(2)


if __name__ == "__main__":
    main()
