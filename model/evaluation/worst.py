"""Draws the queries with the worst ranking: where their words are, what was found there, what came first.

    python -m model.evaluation.worst DATA/icdar2015/val.jsonl worst.png --cache val.npz

Each query has two rows. Above, photos that show it, the best ranked first: the true place is green, the
region that lies on it best blue; the caption has the photo's rank, the similarity of that region and what is
read there. Below, the best ranked photos without it, by their most similar region. What was found in the
photos is kept in the cache, so that the next sheet takes seconds.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console
from rich.progress import track

from model import calibration
from model.boxes import pairwise_iou
from model.calibration import Calibration
from model.encoder import DEFAULT_CHECKPOINT, Encoder, Proposals
from model.evaluation.dataset import Photo, read_dataset
from model.evaluation.evaluate import Queries, choose_queries, read_queries
from model.evaluation.metrics import average_precision
from model.evaluation.ranking import rank

Matrix = NDArray[np.float32]

COLUMNS, CELL, CAPTION = 4, (300, 110), 20
CONTEXT = 1.0  # heights of a region shown around it
_GROUND, _INK, _TRUTH, _FOUND = (255, 255, 255), (40, 40, 40), (20, 160, 60), (30, 90, 220)
ARRAYS = ("boxes", "quads", "scores", "confidences", "embeddings")


@dataclass(frozen=True)
class Worst:
    """A query and its ranking.

    Attributes:
        word: The query, folded.
        precision: Average precision in [0, 1].
        ranking: Numbers of the photos, best first.
        relevant: Numbers of those that show it.
    """

    word: str
    precision: float
    ranking: list[int]
    relevant: set[int]


def find(encoder: Encoder, photos: Sequence[Photo], cache: Path | None) -> list[Proposals]:
    """Return the proposals of photos, from the cache if it has those of this network and these photos.

    Raises:
        OSError: a photo or the cache cannot be read or written.
    """
    key = [encoder.version, "posteriors", *(photo.name for photo in photos)]
    if cache and cache.exists():
        with np.load(cache) as kept:
            if kept["key"].tolist() == key:
                return _unpacked(kept)
    shown = track(photos, "photos", console=Console(stderr=True))
    found = [encoder.encode_images([photo.pixels()])[0] for photo in shown]
    if cache:
        arrays = {name: np.concatenate([getattr(one, name) for one in found]) for name in ARRAYS}
        arrays["key"] = np.array(key)
        arrays["ends"] = np.cumsum([len(one.scores) for one in found])
        arrays["transcripts"] = np.array([text for one in found for text in one.transcripts], str)
        packed = [posteriors for one in found for posteriors in one.posteriors]
        arrays["posteriors"] = np.frombuffer(b"".join(packed), np.uint8)
        arrays["packed"] = np.cumsum(list(map(len, packed)), dtype=np.int64)
        np.savez(cache, allow_pickle=False, **arrays)
    return found


def _unpacked(kept: np.lib.npyio.NpzFile) -> list[Proposals]:
    ends = kept["ends"][:-1]
    boxes, quads, scores, confidences, embeddings = (np.split(kept[name], ends) for name in ARRAYS)
    texts = [of_photo.tolist() for of_photo in np.split(kept["transcripts"], ends)]
    found = list(map(Proposals, boxes, quads, scores, texts, confidences, embeddings))
    packed = iter(np.split(kept["posteriors"], kept["packed"][:-1]))
    if not len(kept["packed"]):
        return found
    return [replace(one, posteriors=[next(packed).tobytes() for _ in one.transcripts]) for one in found]


def worst(
    queries: Queries,
    words: Matrix,
    photos: Sequence[Photo],
    found: Sequence[Proposals],
    count: int,
    known: Calibration,
) -> list[Worst]:
    """Return the queries of lowest average precision, the lowest first, ties by name.

    Args:
        queries: With the names of the photos that show them.
        words: Their embeddings (Q, D).
        photos: All.
        found: Proposals of each photo.
        count: At most so many.
        known: The calibration of the network.
    """
    names = [photo.name for photo in photos]
    regions = [(words @ one.embeddings.T, one.posteriors) for one in found]
    places = rank(list(queries), regions, names, known)
    ranked = []
    for row, (word, wanted) in zip(places, queries.items(), strict=True):
        relevant = np.array([name in wanted for name in names])
        order = np.argsort(-row).tolist()
        precision = average_precision(row, relevant, names)
        ranked.append(Worst(word, precision, order, set(np.flatnonzero(relevant).tolist())))
    return sorted(ranked, key=lambda query: (query.precision, query.word))[:count]


def draw(
    queries: Sequence[Worst],
    words: Matrix,
    photos: Sequence[Photo],
    found: Sequence[Proposals],
    encoder: Encoder,
) -> Image.Image:
    """Return the sheet of some queries with embeddings (Q, D); other arguments as for `worst`."""
    row = CELL[1] + 2 * CAPTION
    sheet = Image.new("RGB", (COLUMNS * CELL[0], len(queries) * (2 * row + CAPTION)), _GROUND)
    pen = ImageDraw.Draw(sheet)
    for number, (query, embedding) in enumerate(zip(queries, words, strict=True)):
        top = number * (2 * row + CAPTION)
        title = (
            f"{query.word}: average precision {100 * query.precision:.1f} %, shown by {len(query.relevant)}"
        )
        pen.text((4, top + 2), title, fill=_INK, font=ImageFont.load_default(15))
        shown = [index for index in query.ranking if index in query.relevant][:COLUMNS]
        wrong = [index for index in query.ranking if index not in query.relevant][:COLUMNS]
        for column, index in enumerate(shown):
            place = column * CELL[0], top + CAPTION
            rank = query.ranking.index(index) + 1
            _draw_truth(sheet, place, rank, query.word, embedding, photos[index], found[index], encoder)
        for column, index in enumerate(wrong):
            place = column * CELL[0], top + CAPTION + row
            rank = query.ranking.index(index) + 1
            _draw_hit(sheet, place, rank, embedding, photos[index], found[index])
    return sheet


def _draw_truth(
    sheet: Image.Image,
    place: tuple[int, int],
    rank: int,
    word: str,
    embedding: Matrix,
    photo: Photo,
    found: Proposals,
    encoder: Encoder,
) -> None:
    """Draw where a photo shows the word, and the region that lies on it best."""
    truth = next((w for w in photo.words if w.text and encoder.charset.fold(w.text) == word), None)
    if truth is None:
        return
    overlaps = pairwise_iou(torch.from_numpy(truth.box[None]), torch.from_numpy(found.boxes))[0].numpy()
    best = int(overlaps.argmax()) if len(overlaps) and overlaps.max() > 0 else None
    quads, caption = [(truth.quad, _TRUTH)], f"rank {rank}: {truth.text!r}, nothing found there"
    if best is not None:
        quads.append((found.quads[best], _FOUND))
        similarity = float(found.embeddings[best] @ embedding)
        read = found.transcripts[best]
        caption = f"rank {rank}: {truth.text!r}, IoU {overlaps[best]:.2f}, {similarity:.2f}, reads {read!r}"
    _cell(sheet, place, photo, quads, caption)


def _draw_hit(
    sheet: Image.Image, place: tuple[int, int], rank: int, embedding: Matrix, photo: Photo, found: Proposals
) -> None:
    """Draw the region by which a photo without the word was ranked."""
    if not len(found.scores):
        return
    similarities = found.embeddings @ embedding
    best = int(similarities.argmax())
    caption = f"rank {rank}: {similarities[best]:.2f}, reads {found.transcripts[best]!r}"
    _cell(sheet, place, photo, [(found.quads[best], _FOUND)], caption)


def _cell(
    sheet: Image.Image,
    place: tuple[int, int],
    photo: Photo,
    quads: Sequence[tuple[Matrix, tuple[int, int, int]]],
    caption: str,
) -> None:
    """Draw a cut of a photo around the first quad, all quads, and a caption of two lines below."""
    first = quads[0][0]
    height = float(np.linalg.norm(first[3] - first[0]))
    low, high = first.min(0) - CONTEXT * height, first.max(0) + CONTEXT * height
    scale = float(min((CELL[0] - 8) / (high[0] - low[0]), CELL[1] / (high[1] - low[1])))
    size = (max(1, int((high[0] - low[0]) * scale)), max(1, int((high[1] - low[1]) * scale)))
    box = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
    picture = Image.fromarray(photo.pixels()).transform(
        size, Image.Transform.EXTENT, box, Image.Resampling.BICUBIC
    )
    pen = ImageDraw.Draw(picture)
    for quad, color in quads:
        corners = [(float(x), float(y)) for x, y in (quad - low) * scale]
        pen.line([*corners, corners[0]], fill=color, width=2)
    sheet.paste(picture, (place[0] + 4, place[1]))
    text = ImageDraw.Draw(sheet)
    head, _, tail = caption.partition(", reads ")
    for line, part in enumerate((f"{head}  {photo.name.rsplit('/')[-1]}", tail and f"reads {tail}")):
        font = ImageFont.load_default(12)
        text.text((place[0] + 4, place[1] + CELL[1] + 2 + 16 * line), part, fill=_INK, font=font)


def main(arguments: Sequence[str]) -> None:
    """Draw from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("dataset", type=Path, help="photos and their words, in any layout")
    parser.add_argument("out", type=Path, help="picture to write")
    parser.add_argument("--queries", type=Path, help="JSON of words and their photos")
    parser.add_argument("--count", type=int, default=10, help="queries to draw")
    parser.add_argument("--cache", type=Path, help="file (.npz) that keeps what was found in the photos")
    parser.add_argument("--checkpoint", type=Path, default=DEFAULT_CHECKPOINT)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args(arguments)
    try:
        known = read_dataset(given.dataset)
        encoder = Encoder(given.checkpoint, device="cpu", threads=given.threads)
        asked = read_queries(given.queries) if given.queries else known.queries
        queries = choose_queries(asked, known.photos, encoder.charset.fold)
        found = find(encoder, known.photos, given.cache)
        embeddings, cuts = encoder.encode_texts(list(queries)), calibration.of_version(encoder.version)
        chosen = worst(queries, embeddings, known.photos, found, given.count, cuts)
        words = encoder.encode_texts([query.word for query in chosen])
        given.out.parent.mkdir(parents=True, exist_ok=True)
        draw(chosen, words, known.photos, found, encoder).save(given.out)
    except (OSError, ValueError) as exc:
        parser.error(str(exc))
    for query in chosen:
        sys.stdout.write(f"{100 * query.precision:5.1f} %  {query.word}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
