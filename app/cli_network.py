"""Commands that run the network here, without a service."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from app import logs, sheet
from app.settings import Settings
from app.terminal import counting, out

if TYPE_CHECKING:
    from model.evaluation.dataset import Photo

MULTI_SCALE = (960, 1280, 1600)
SCORES = ("precision", "recall", "f_score")

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
    multi_scale: Annotated[
        bool,
        typer.Option("--multi-scale", help="Search photos at 960, 1280 and 1600 pixels, as the paper does."),
    ] = False,
    json_path: Annotated[
        Path | None, typer.Option("--json", help="Also write the figures, those of each query too, here.")
    ] = None,
) -> None:
    """Measure ranking, boxes and speed of the network on an annotated set of photos."""
    settings = Settings()
    logs.configure(settings.log_level, "evaluate")
    if multi_scale:
        settings = settings.model_copy(update={"longer_sides": MULTI_SCALE})
    from app.deps import make_encoder
    from model.evaluation.evaluate import evaluate as measure

    with counting("photos") as progress:
        result = measure(
            make_encoder(settings), dataset, queries, layout=layout, images=images, progress=progress
        )
    figures = result.to_dict()
    _show(figures)
    if json_path:
        json_path.parent.mkdir(parents=True, exist_ok=True)
        json_path.write_text(json.dumps(figures, ensure_ascii=False, indent=1) + "\n", "utf-8")


def _show(figures: dict[str, Any]) -> None:
    table = Table("", "", box=None, show_header=False)
    for name, value in figures.items():
        if isinstance(value, int | float):
            text = f"{value:.4g}" if isinstance(value, float) else str(value)
            table.add_row(name.replace("_", " "), text)
    for threshold, share in figures["recall"].items():
        table.add_row(f"recall at IoU {threshold}", f"{share:.4g}")
    out.print(table)

    table = Table("queries", "number", "mean average precision", box=None)
    for name, group in figures["groups"].items():
        table.add_row(name, str(group["queries"]), f"{group['mean_average_precision']:.4g}")
    out.print(table)

    if figures["annotation"]:
        table = Table("boxes", "protocol", "precision", "recall", "F-score", box=None)
        for what in ("detection", "annotation"):
            for protocol, score in figures[what].items():
                values = [f"{score[name]:.4g}" if name in score else "" for name in SCORES]
                table.add_row(what, protocol.replace("_", " "), *values)
        out.print(table)


def annotate(
    photo: Annotated[
        Path | None, typer.Argument(help="A photo; with --words the folder of the photos.", exists=True)
    ] = None,
    words: Annotated[list[str] | None, typer.Argument(help="The words in it.")] = None,
    list_path: Annotated[
        Path | None,
        typer.Option("--words", help="JSON lines (or a data set) of photos and their words.", exists=True),
    ] = None,
    layout: Layout = None,
    out_path: Annotated[
        Path | None, typer.Option("--out", help="Write JSON lines with the boxes here; else they are shown.")
    ] = None,
    sheet_path: Annotated[
        Path | None,
        typer.Option(
            "--sheet", help="Also draw the boxes, of 16 photos at most, here.", callback=sheet.writable
        ),
    ] = None,
) -> None:
    """Find where given words are in a photo, or in many: boxes for words without them."""
    settings = Settings()
    logs.configure(settings.log_level, "annotate")
    photos = _photos_and_words(photo, words or [], list_path, layout)
    from app import annotating
    from app.deps import make_encoder

    encoder = make_encoder(settings)
    for word in words or []:
        encoder.charset.encode(word)  # or it is an error
    drawing = annotating.Drawing(sheet_path)
    found = annotating.find_all(encoder, photos, max_pixels=settings.max_pixels)
    left_out = 0
    if list_path or out_path:
        left_out = annotating.write_lines(found, photos, out_path, drawing)
    else:
        annotating.show(next(found), drawing)
    drawing.write()
    if left_out:
        raise typer.Exit(1)


def _photos_and_words(
    photo: Path | None, words: list[str], list_path: Path | None, layout: str | None
) -> list["Photo"]:
    if list_path and not words:
        from model.evaluation.dataset import read_dataset

        return read_dataset(list_path, layout, photo).photos
    if photo and words and not list_path:
        from model.evaluation.dataset import Photo

        return [Photo(photo.name, photo, [], tuple(words))]
    raise typer.BadParameter("name a photo and the words in it, or a list of photos and words (--words)")
