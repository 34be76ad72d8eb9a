"""Draws the pictures by which the paper explains the similarity, for any checkpoints, and runs' progress.

    python -m model.training.figures similarities OUT.png --checkpoints A.safetensors B.safetensors
    python -m model.training.figures steps OUT.png PHOTO WORD --checkpoints A.safetensors B.safetensors
    python -m model.training.figures curves OUT.png runs/first runs/second

`similarities` (Fig. 3): how the pairs of a word list spread over the target similarity, and what each
checkpoint predicts for them; on the left the words alone, on the right with their pseudowords. `steps`
(Fig. 7): how much each character of a word is like each step along the region of a photo that matches the
word best. `curves`: mean average precision on the validation photos against the minutes of training, from the
logs of runs of `model.training.train` with `--validate-every`.
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch.nn import functional as F

from model import checkpoint
from model.annotation import annotate
from model.charset import Charset
from model.embedder import stretch_words
from model.encoder import Encoder
from model.evaluation.records import Photo
from model.training.similarity import edit_similarity, pseudoword
from model.training.synthetic import ENGLISH, load_words

Matrix = NDArray[np.float32]

LOWEST = -0.25  # similarity at the left edge
BINS = np.linspace(LOWEST, 1, 26)
FEWEST = 1e-6  # share of the pairs at the foot of the picture
PANEL, MARGIN, STRIP = (520, 340), 72, 26
_GROUND, _INK, _FAINT, _TARGET = (255, 255, 255), (40, 40, 40), (220, 220, 220), (190, 200, 215)
_LINES = (
    (200, 40, 40),
    (30, 90, 200),
    (20, 140, 60),
    (180, 110, 0),
    (130, 50, 160),
    (0, 150, 160),
    (110, 110, 110),
    (220, 90, 160),
)


def pairs_of(similarities: Matrix) -> Matrix:
    """Return the similarities (N, N) of different words, each pair once."""
    return similarities[np.triu_indices(len(similarities), 1)]


def augmented(words: Sequence[str], characters: str, seed: int = 0) -> list[str]:
    """Return words and a pseudoword of each (paper, section 3.4)."""
    rng = np.random.default_rng(seed)
    return [*words, *(pseudoword(rng, word, characters) for word in words)]


def draw_similarities(encoders: dict[str, Encoder], words: Sequence[str], path: Path) -> None:
    """Draw the spread of target and predicted similarities with and without word augmentation.

    Args:
        encoders: By the name that the picture gives them.
        words: Folded, at least two.
        path: Picture to write.

    Raises:
        ValueError: there are too few words.
    """
    if len(words) < 2:
        raise ValueError("the picture needs two words at least")
    charset = next(iter(encoders.values())).charset
    sheet = Image.new("RGB", (2 * (PANEL[0] + MARGIN) + MARGIN, PANEL[1] + 3 * MARGIN), _GROUND)
    pen = ImageDraw.Draw(sheet)
    titles = ("words", "words and their pseudowords")
    for column, chosen in enumerate((list(words), augmented(words, charset.characters))):
        left = MARGIN + column * (PANEL[0] + MARGIN)
        _axes(pen, left, f"{titles[column]}: {len(chosen) * (len(chosen) - 1) // 2:,} pairs")
        target = pairs_of(edit_similarity(chosen, chosen).numpy())
        for low, share in zip(BINS, _shares(target), strict=False):
            x0, x1 = _across(left, low), _across(left, low + BINS[1] - BINS[0])
            if share > FEWEST:
                pen.rectangle([x0, _height(share), x1 - 1, MARGIN + PANEL[1]], fill=_TARGET)
        for color, encoder in zip(_LINES, encoders.values(), strict=False):
            embeddings = encoder.encode_texts(chosen)
            shares = _shares(pairs_of(embeddings @ embeddings.T))
            middles = (BINS[:-1] + BINS[1:]) / 2
            line = [(_across(left, m), _height(s)) for m, s in zip(middles, shares, strict=True)]
            pen.line(line, fill=color, width=2)
    _legend(pen, [("target: 1 - edit distance / length", _TARGET), *zip(encoders, _LINES, strict=False)])
    _save(sheet, path)


def step_similarities(encoder: Encoder, word: str, region: Matrix) -> Matrix:
    """Return the cosines (L, T) of each character of a word and each step of a region, in [-1, 1].

    The text branch has T steps, too: a character has the mean of those it was stretched over.

    Args:
        encoder: Whose embeddings have T steps.
        word: With L characters after folding.
        region: Its embedding (D,).
    """
    numbers = encoder.charset.encode(word)
    _, stretch = stretch_words([numbers], encoder.config.steps)
    steps = [
        torch.from_numpy(embedding).view(encoder.config.steps, encoder.config.channels)
        for embedding in (encoder.encode_texts([word])[0], region)
    ]
    of_word, of_region = (F.normalize(sequence, dim=1) for sequence in steps)
    shares = stretch[0].T / stretch[0].sum(0)[:, None]  # L T
    cosines: Matrix = (shares @ of_word @ of_region.T).numpy()
    return cosines


def draw_steps(encoders: dict[str, Encoder], pixels: NDArray[np.uint8], word: str, path: Path) -> None:
    """Draw the region that matches a word best, and below it how like each character each step is.

    Args:
        encoders: By the name that the picture gives them; each finds the region itself.
        pixels: uint8 RGB (H, W, 3).
        word: To look for.
        path: Picture to write.

    Raises:
        ValueError: the network knows no character of the word, or finds no text in the photo.
    """
    blocks = []
    for name, encoder in encoders.items():
        found = annotate(encoder, pixels, [word])[0]
        if found is None:
            raise ValueError(f"{name} finds no text in the photo")
        region = encoder.embed_quads(pixels, found.quad[None]).embeddings[0]
        title = f"{name}: {found.score:.2f}, reads {found.transcript!r}"
        cosines = step_similarities(encoder, word, region)
        blocks.append(_steps_block(title, _upright(pixels, found.quad), encoder.charset.fold(word), cosines))
    sheet = Image.new("RGB", (blocks[0].width, sum(block.height for block in blocks)), _GROUND)
    top = 0
    for block in blocks:
        sheet.paste(block, (0, top))
        top += block.height
    _save(sheet, path)


def read_curve(run: Path) -> list[tuple[float, float]]:
    """Return minutes of training and mean average precision in [0, 1] of each validation of a run.

    Raises:
        ValueError: the run has no log, or was never validated.
    """
    try:
        lines = [json.loads(line) for line in (run / "log.jsonl").read_text("utf-8").splitlines()]
    except (OSError, ValueError) as exc:
        raise ValueError(f"{run} has no log of a run: {exc}") from exc
    measured = [line for line in lines if "mean_average_precision" in line]
    if not measured:
        raise ValueError(f"{run} was never validated; train with --validate-every")
    return [(line["seconds"] / 60, line["mean_average_precision"]) for line in measured]


def draw_curves(curves: dict[str, list[tuple[float, float]]], path: Path) -> None:
    """Draw mean average precision against minutes of training.

    Args:
        curves: Minutes and mAP in [0, 1] of each run, by the name that the picture gives it.
        path: Picture to write.
    """
    width, height = 2 * PANEL[0], PANEL[1]
    sheet = Image.new("RGB", (width + 2 * MARGIN, height + 2 * MARGIN + STRIP * len(curves)), _GROUND)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    longest = max(minutes for curve in curves.values() for minutes, _ in curve) or 1.0
    top = max(0.01, *(value for curve in curves.values() for _, value in curve))
    for part in range(5):
        row, column = MARGIN + height * (1 - part / 4), MARGIN + width * part / 4
        pen.line([MARGIN, row, MARGIN + width, row], fill=_FAINT)
        pen.text((MARGIN - 6, row), f"{25 * part * top:.1f} %", fill=_INK, font=font, anchor="rm")
        minutes = f"{longest * part / 4:.1f}"
        pen.text((column, MARGIN + height + 6), minutes, fill=_INK, font=font, anchor="ma")
    title = "mean average precision (validation) against minutes of training"
    pen.text((MARGIN, MARGIN - 34), title, fill=_INK, font=ImageFont.load_default(16))
    for number, (name, curve) in enumerate(curves.items()):
        color, row = _LINES[number % len(_LINES)], 2 * MARGIN + height - 30 + STRIP * number
        points = [(MARGIN + width * x / longest, MARGIN + height * (1 - y / top)) for x, y in curve]
        pen.line([(MARGIN, MARGIN + height), *points], fill=color, width=2)
        for x, y in points:
            pen.ellipse([x - 3, y - 3, x + 3, y + 3], fill=color)
        pen.rectangle([MARGIN, row, MARGIN + 22, row + 12], fill=color)
        pen.text((MARGIN + 28, row - 3), f"{name}: {100 * curve[-1][1]:.1f} %", fill=_INK, font=font)
    _save(sheet, path)


def _steps_block(title: str, crop: Image.Image, letters: str, cosines: Matrix) -> Image.Image:
    """Return a title, a crop, and a strip for each letter, from blue (-1) by white (0) to red (1)."""
    width = PANEL[0]
    crop = crop.resize((width, min(200, max(40, round(crop.height * width / crop.width)))))
    block = Image.new("RGB", (width + 2 * MARGIN, 2 * STRIP + crop.height + STRIP * len(letters)), _GROUND)
    pen = ImageDraw.Draw(block)
    pen.text((MARGIN, 6), title, fill=_INK, font=ImageFont.load_default(15))
    block.paste(crop, (MARGIN, STRIP))
    for row, letter in enumerate(letters):
        top = STRIP + crop.height + 6 + row * STRIP
        pen.text((MARGIN - 22, top + 2), letter, fill=_INK, font=ImageFont.load_default(17))
        for column, cosine in enumerate(cosines[row]):
            x0, x1 = (MARGIN + width * place // len(cosines[row]) for place in (column, column + 1))
            pen.rectangle([x0, top, x1 - 1, top + STRIP - 3], fill=_heat(float(cosine)))
    return block


def _heat(cosine: float) -> tuple[int, int, int]:
    faded = round(255 * (1 - min(1.0, abs(cosine))))
    return (255, faded, faded) if cosine > 0 else (faded, faded, 255)


def _upright(pixels: NDArray[np.uint8], quad: Matrix) -> Image.Image:
    """Return a region as one reads it."""
    width = max(1, round(float(np.linalg.norm(quad[1] - quad[0]))))
    height = max(1, round(float(np.linalg.norm(quad[3] - quad[0]))))
    corners = tuple(float(side) for corner in quad[[0, 3, 2, 1]] for side in corner)
    return Image.fromarray(pixels).transform(
        (width, height), Image.Transform.QUAD, corners, Image.Resampling.BICUBIC
    )


def _shares(values: Matrix) -> NDArray[np.float64]:
    return np.histogram(values.clip(LOWEST, 1), BINS)[0] / len(values)


def _across(left: int, similarity: float) -> float:
    return left + PANEL[0] * (similarity - LOWEST) / (1 - LOWEST)


def _height(share: float) -> float:
    """Return the row of a share of the pairs; as many pixels for each power of ten."""
    return MARGIN + PANEL[1] * math.log(max(share, FEWEST), FEWEST)


def _axes(pen: ImageDraw.ImageDraw, left: int, title: str) -> None:
    font = ImageFont.load_default(13)
    pen.text((left, MARGIN - 34), title, fill=_INK, font=ImageFont.load_default(16))
    for power in range(round(np.log10(FEWEST)), 1):
        row = _height(10.0**power)
        pen.line([left, row, left + PANEL[0], row], fill=_FAINT)
        pen.text((left - 6, row), f"{100 * 10.0**power:g} %", fill=_INK, font=font, anchor="rm")
    for similarity in (-0.25, 0, 0.25, 0.5, 0.75, 1):
        place = _across(left, similarity)
        pen.text((place, MARGIN + PANEL[1] + 6), f"{similarity:g}", fill=_INK, font=font, anchor="ma")
    pen.text((left + PANEL[0] / 2, MARGIN + PANEL[1] + 24), "similarity", fill=_INK, font=font, anchor="ma")


def _legend(pen: ImageDraw.ImageDraw, entries: Sequence[tuple[str, tuple[int, int, int]]]) -> None:
    left, row = float(MARGIN), PANEL[1] + 2 * MARGIN + 10
    for name, color in entries:
        pen.rectangle([left, row, left + 22, row + 12], fill=color)
        pen.text((left + 28, row - 3), name, fill=_INK, font=ImageFont.load_default(15))
        left += 48 + pen.textlength(name, font=ImageFont.load_default(15))


def _save(sheet: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)


def _chosen(path: Path, charset: Charset, count: int) -> list[str]:
    """Return words of a list, folded, evenly from all of it."""
    words = list(dict.fromkeys(word for line in load_words([path]) if (word := charset.fold(line))))
    return words[:: max(1, len(words) // count)][:count]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Draw what the similarity has learned, and how fast.")
    commands = parser.add_subparsers(dest="picture", required=True)
    for name in ("similarities", "steps", "curves"):
        command = commands.add_parser(name)
        command.add_argument("out", type=Path, help="picture to write")
        if name == "curves":
            command.add_argument("runs", type=Path, nargs="+", help="folders of model.training.train")
            continue
        if name == "steps":
            command.add_argument("photo", type=Path)
            command.add_argument("word")
        else:
            command.add_argument("--words", type=Path, default=ENGLISH, help="a word a line")
            command.add_argument("--count", type=int, default=500, help="of the words")
        command.add_argument(
            "--checkpoints",
            type=Path,
            nargs="+",
            default=[checkpoint.DEFAULT_CHECKPOINT],
            help=f"up to {len(_LINES)}",
        )
    return parser


def _encoders(paths: Sequence[Path]) -> dict[str, Encoder]:
    # A folder's name tells more than that of the file, where all are called alike.
    alike = len({path.stem for path in paths}) < len(paths)
    return {path.parent.name if alike else path.stem: Encoder(path, device="cpu-torch") for path in paths}


def main(arguments: list[str]) -> None:
    """Draw from the command line."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if len(given.runs if given.picture == "curves" else given.checkpoints) > len(_LINES):
        parser.error(f"{len(_LINES)} lines at most")
    try:
        if given.picture == "curves":
            draw_curves({run.name: read_curve(run) for run in given.runs}, given.out)
        elif given.picture == "steps":
            pixels = Photo("", given.photo, []).pixels()
            draw_steps(_encoders(given.checkpoints), pixels, given.word, given.out)
        else:
            encoders = _encoders(given.checkpoints)
            charset = next(iter(encoders.values())).charset
            draw_similarities(encoders, _chosen(given.words, charset, given.count), given.out)
    except (OSError, ValueError) as exc:
        parser.error(str(exc))


if __name__ == "__main__":
    main(sys.argv[1:])
