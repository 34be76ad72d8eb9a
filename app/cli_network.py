"""Commands that run the network here, without a service."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from app import logs
from app.settings import Settings
from app.terminal import counting, out

Layout = Annotated[
    str | None,
    typer.Option(help="Layout of the data set (svt, icdar2015 ...); seen from the files by default."),
]
Images = Annotated[
    Path | None,
    typer.Option(help="Folder of the photos, if they lie elsewhere.", file_okay=False),
]


def evaluate(
    dataset: Annotated[
        Path, typer.Argument(help="Photos and their words: JSON lines, or another layout.", exists=True)
    ],
    queries: Annotated[
        Path | None,
        typer.Option(
            help="JSON of words and their photos; else those of the data set, or all words of 3 characters.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    layout: Layout = None,
    images: Images = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Measure ranking, recall and speed of the network on an annotated set of photos."""
    settings = Settings()
    logs.configure(settings.log_level, "evaluate")
    from app.deps import make_encoder
    from model.evaluation.evaluate import evaluate as measure

    with counting("photos") as progress:
        result = measure(
            make_encoder(settings), dataset, queries, layout=layout, images=images, progress=progress
        )
    figures = result.to_dict()
    if as_json:
        typer.echo(json.dumps(figures))
        return
    table = Table("", "", box=None, show_header=False)
    for name, value in figures.items():
        if name == "average_precisions":  # one a query: only in the JSON
            continue
        table.add_row(name.replace("_", " "), f"{value:.4g}" if isinstance(value, float) else str(value))
    out.print(table)
