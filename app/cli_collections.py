"""The commands `glyphseek collections …`."""

from typing import Annotated

import typer
from rich.table import Table

from app.terminal import DEFAULT_URL, Url, connect, format_size, out, parse_size

cli = typer.Typer(help="List, make, rename and drop collections.", rich_markup_mode=None)

Name = Annotated[str, typer.Argument(help="Name of the collection.")]
OwnUrl = Annotated[str | None, typer.Option("--url", help="Where the service answers.")]
_QUOTA = "Most bytes of its photos together, such as 500MB"


@cli.callback(invoke_without_command=True)
def collections(context: typer.Context, url: Url = DEFAULT_URL) -> None:
    """List the collections: photos by status, bytes used, quota; or run one of the commands below."""
    context.obj = url
    if context.invoked_subcommand is not None:
        return
    with connect(url) as client:
        found = client.collections()
    table = Table("collection", "photos", "used", "quota", box=None)
    for each in found:
        total = sum(each.images.values())
        others = [f"{count} {status}" for status, count in each.images.items() if status != "indexed"]
        photos = f"{total} ({', '.join(others)})" if others else str(total)
        quota = "none" if each.quota_bytes is None else format_size(each.quota_bytes)
        table.add_row(each.name, photos, format_size(each.bytes_used), quota)
    out.print(table)


@cli.command()
def create(
    context: typer.Context,
    name: Name,
    quota: Annotated[str | None, typer.Option(help=f"{_QUOTA}.")] = None,
    url: OwnUrl = None,
) -> None:
    """Make an empty collection."""
    quota_bytes = None if quota is None else parse_size(quota)
    with connect(url or context.obj) as client:
        client.create_collection(name, quota_bytes=quota_bytes)


@cli.command()
def rename(
    context: typer.Context,
    name: Name,
    new_name: Annotated[str, typer.Argument(help="Its new name.")],
    url: OwnUrl = None,
) -> None:
    """Give a collection another name."""
    with connect(url or context.obj) as client:
        client.rename_collection(name, new_name)


@cli.command()
def quota(
    context: typer.Context,
    name: Name,
    size: Annotated[str, typer.Argument(help=f"{_QUOTA}, or `none`.")],
    url: OwnUrl = None,
) -> None:
    """Set or lift the quota of a collection; photos that are there stay."""
    quota_bytes = None if size == "none" else parse_size(size)
    with connect(url or context.obj) as client:
        client.set_quota(name, quota_bytes)


@cli.command()
def drop(
    context: typer.Context,
    name: Name,
    with_photos: Annotated[bool, typer.Option("--with-photos", help="Delete its photos too.")] = False,
    url: OwnUrl = None,
) -> None:
    """Drop a collection, which must be empty unless its photos are to be deleted too."""
    with connect(url or context.obj) as client:
        client.drop_collection(name, with_photos=with_photos)
