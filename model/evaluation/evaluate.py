"""Measures a network on annotated photos: retrieval, boxes on words, speed.

Protocol of scene text retrieval: query and truth are folded to the characters of the network; a photo is
relevant if one of its readable words equals the query; photos are ranked as a search ranks them; average
precision is taken over the full ranking of all photos and averaged over the queries.
"""

import json
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model import calibration
from model.charset import is_dense
from model.encoder import Encoder, Proposals
from model.evaluation.breakdown import Group, groups
from model.evaluation.dataset import Photo, read_dataset
from model.evaluation.metrics import best_overlaps
from model.evaluation.placing import Placing
from model.evaluation.ranking import Regions, average_precisions

MIN_QUERY_LETTERS = 3
FREQUENT_QUERIES = 100
RECALL_THRESHOLDS = (0.5, 0.7)

Queries = dict[str, set[str]]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Result:
    """What was measured.

    Attributes:
        photos: Number of photos.
        queries: Number of queries.
        mean_average_precision: Over all queries, in [0, 1].
        frequent_average_precision: Over the 100 queries with most relevant photos (ties by name), in [0, 1].
        recall: IoU threshold -> share of the readable words of which a proposal overlaps at least so much.
        top_k: Best proposals of a photo that count for the recall.
        proposals_per_photo: Mean number.
        photos_per_second: Of the network alone, without reading files, the first photo not counted.
        groups: Name of a group of queries -> their number and mean average precision. Words of two characters
            have a group, too, where no queries were asked for.
        detection: Protocol -> precision, recall and F-score of all proposals, see `placing`; empty where the
            data set has no places.
        annotation: The same of the regions that are found for the words of each photo.
        average_precisions: Of every query.
    """

    photos: int
    queries: int
    mean_average_precision: float
    frequent_average_precision: float
    recall: dict[str, float]
    top_k: int
    proposals_per_photo: float
    photos_per_second: float
    groups: dict[str, Group]
    detection: dict[str, dict[str, float]]
    annotation: dict[str, dict[str, float]]
    average_precisions: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def read_queries(path: Path) -> Queries | list[str]:
    """Return queries: words with the names of their relevant photos, or a list of words alone.

    Raises:
        ValueError: the file is missing, or holds neither.
    """
    try:
        values = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as exc:
        raise ValueError(f"{path} cannot be read: {exc}") from exc
    if isinstance(values, list) and values and all(isinstance(word, str) for word in values):
        return values
    if isinstance(values, dict) and values and all(isinstance(names, list) for names in values.values()):
        return {word: set(map(str, names)) for word, names in values.items()}
    raise ValueError(f"{path} is neither a list of words nor an object of word: [image, ...]")


def words_of(photos: list[Photo], fold: Callable[[str], str]) -> Queries:
    """Return every readable, folded word with the names of the photos that show it."""
    found: Queries = defaultdict(set)
    for photo in photos:
        for text in photo.readable():
            found[fold(text)].add(photo.name)
    found.pop("", None)
    return dict(found)


def choose_queries(
    asked: Queries | list[str] | None, photos: list[Photo], fold: Callable[[str], str]
) -> Queries:
    """Return the queries with their relevant photos; without a wish all words of three letters or more.

    Of Chinese those of two characters too.

    Raises:
        ValueError: a query has no relevant photo or no character of the network's, or there is no query.
    """
    queries: Queries
    if isinstance(asked, dict):
        queries = defaultdict(set)
        for word, relevant in asked.items():
            queries[_folded(word, fold)] |= relevant
    else:
        words = words_of(photos, fold)
        chosen = (
            [word for word in words if _is_asked(word)]
            if asked is None
            else {_folded(word, fold) for word in asked}
        )
        queries = {word: words.get(word, set()) for word in sorted(chosen)}
    names = {photo.name for photo in photos}
    lost = [word for word, relevant in queries.items() if not relevant & names]
    if lost:
        raise ValueError(f"no photo shows the queries {', '.join(lost[:5])}{' ...' if len(lost) > 5 else ''}")
    if not queries:
        raise ValueError(f"no photo shows a readable word of {MIN_QUERY_LETTERS} letters")
    return queries


def _is_asked(word: str) -> bool:
    # Two characters of Chinese are a word.
    return len(word) >= MIN_QUERY_LETTERS or (len(word) == MIN_QUERY_LETTERS - 1 and is_dense(word))


def _folded(word: str, fold: Callable[[str], str]) -> str:
    folded = fold(word)
    if not folded:
        raise ValueError(f"the query {word!r} has no character that the network knows")
    return folded


def frequent(queries: Queries, count: int = FREQUENT_QUERIES) -> list[str]:
    """Return the queries with most relevant photos, ties by name."""
    return sorted(queries, key=lambda word: (-len(queries[word]), word))[:count]


def evaluate(
    encoder: Encoder,
    dataset: Path,
    queries: Path | None = None,
    *,
    layout: str | None = None,
    images: Path | None = None,
    progress: Progress | None = None,
    top_k: int = 100,
) -> Result:
    """Measure an encoder on a data set.

    Args:
        encoder: The network, with its own limits on score and number of proposals.
        dataset: In any layout, see `model.evaluation.dataset`.
        queries: JSON, see `read_queries`; by default those of the data set, or if it names none all distinct
            readable words of three letters (two characters of Chinese) or more.
        layout: Of the data set; seen from the files by default.
        images: Folder of the photos, where they do not lie where the layout has them.
        progress: Called with the number of photos done and of all, after each photo.
        top_k: Best proposals of a photo that count for the recall.

    Raises:
        ValueError: a file is not as it should be.
        OSError: a photo cannot be read.
    """
    known = read_dataset(dataset, layout, images)
    photos = known.photos
    asked = read_queries(queries) if queries else known.queries
    chosen = choose_queries(asked, photos, encoder.charset.fold)
    ranked = chosen if asked else chosen | _short(photos, encoder.charset.fold)
    words = encoder.encode_texts(list(ranked))
    regions: list[Regions] = []
    overlaps: list[NDArray[np.float32]] = []
    placing = Placing(encoder)
    proposal_count, seconds = 0, 0.0
    for index, photo in enumerate(photos):
        pixels = photo.pixels()
        started = time.perf_counter()
        found = encoder.encode_images([pixels])[0]
        seconds += (time.perf_counter() - started) if index else 0.0
        proposal_count += len(found.scores)
        regions.append((words @ found.embeddings.T, found.posteriors))
        overlaps.append(_overlaps(photo, found, top_k))
        placing.add(photo, found)
        if progress:
            progress(index + 1, len(photos))
    cuts = calibration.of_version(encoder.version)
    all_precisions = average_precisions(ranked, regions, [photo.name for photo in photos], cuts)
    precisions = {word: all_precisions[word] for word in chosen}
    return Result(
        photos=len(photos),
        queries=len(chosen),
        mean_average_precision=float(np.mean(list(precisions.values()))),
        frequent_average_precision=float(np.mean([precisions[word] for word in frequent(chosen)])),
        recall=_recall(np.concatenate(overlaps)),
        top_k=top_k,
        proposals_per_photo=proposal_count / len(photos),
        photos_per_second=(len(photos) - 1) / seconds if seconds else 0.0,
        groups=groups(all_precisions, photos, encoder.charset.fold),
        detection=placing.detection(),
        annotation=placing.annotation(),
        average_precisions=precisions,
    )


def _short(photos: list[Photo], fold: Callable[[str], str]) -> Queries:
    return {
        w: names for w, names in sorted(words_of(photos, fold).items()) if len(w) == MIN_QUERY_LETTERS - 1
    }


def _overlaps(photo: Photo, found: Proposals, top_k: int) -> NDArray[np.float32]:
    truth = [word.box for word in photo.words if word.text and not word.ignore]
    return best_overlaps(np.array(truth, np.float32).reshape(-1, 4), found.boxes[:top_k])


def _recall(overlaps: NDArray[np.float32]) -> dict[str, float]:
    if not len(overlaps):
        return {str(threshold): 0.0 for threshold in RECALL_THRESHOLDS}
    return {str(threshold): float((overlaps >= threshold).mean()) for threshold in RECALL_THRESHOLDS}
