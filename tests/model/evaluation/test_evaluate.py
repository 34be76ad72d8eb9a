import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from model.charset import CHARSETS, Charset
from model.encoder import Encoder, Proposals
from model.evaluation.dataset import Photo
from model.evaluation.evaluate import Result, choose_queries, evaluate, frequent

SHELVES = {  # what each photo says, and whether it can be read
    "a.png": [("Café", True), ("BAR", True)],
    "b.png": [("bar", True), ("no", True), ("###", False)],
    "c.png": [],
}


class ReadingEncoder:
    """An encoder that knows the words of a photo by its brightness; its embeddings are one-hot words."""

    charset = Charset()
    version = "reading"

    def __init__(self, blind: bool = False) -> None:
        self.vocabulary = ["cafe", "bar", "no", "caf"]
        self.blind = blind

    def encode_texts(self, words: list[str]) -> NDArray[np.float32]:
        known = [self.vocabulary.index(self.charset.fold(word)) for word in words]
        return np.eye(4, dtype=np.float32)[known]

    def encode_images(self, images: list[NDArray[np.uint8]]) -> list[Proposals]:
        return [self._encode(int(image[0, 0, 0])) for image in images]

    def _encode(self, number: int) -> Proposals:
        words = [] if self.blind else [word for word, readable in list(SHELVES.values())[number] if readable]
        boxes = np.array([box(index) for index in range(len(words))], np.float32).reshape(-1, 4)
        quads = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
        ones = np.ones(len(words), np.float32)
        return Proposals(boxes, quads, ones, words, ones, self.encode_texts(words))


def box(index: int) -> list[int]:
    return [20 * index, 0, 20 * index + 15, 10]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    path = tmp_path / "set.jsonl"
    with path.open("w") as file:
        for number, (name, words) in enumerate(SHELVES.items()):
            Image.new("RGB", (100, 20), (number, 0, 0)).save(tmp_path / name)
            entries = [
                {"box": box(index), "text": text, "ignore": not readable}
                for index, (text, readable) in enumerate(words)
            ]
            file.write(json.dumps({"image": name, "words": entries}) + "\n")
    return path


PERFECT = {"precision": 1.0, "recall": 1.0, "f_score": 1.0}
NOTHING = {"precision": 0.0, "recall": 0.0, "f_score": 0.0}


def measure(dataset: Path, queries: object = None, *, blind: bool = False, **options: object) -> Result:
    path = None
    if queries is not None:
        path = dataset.with_name("queries.json")
        path.write_text(json.dumps(queries))
    encoder = ReadingEncoder(blind)
    return evaluate(encoder, dataset, path, **options)  # type: ignore[arg-type]


def test_a_perfect_reader_is_perfect(dataset: Path) -> None:
    result = measure(dataset)
    assert result.average_precisions == {"bar": 1.0, "cafe": 1.0}  # "no" is too short, "###" unreadable
    assert (result.photos, result.queries) == (3, 2)
    assert result.mean_average_precision == result.frequent_average_precision == 1
    assert result.recall == {"0.5": 1.0, "0.7": 1.0}
    assert result.proposals_per_photo == pytest.approx(4 / 3)
    assert result.photos_per_second > 0
    assert result.detection == {"deteval": PERFECT, "iou_0.5": PERFECT}
    assert result.annotation == {**result.detection, "own_word": {"recall": 1.0}}
    figures = json.loads(json.dumps(result.to_dict()))
    assert figures["recall"] == {"0.5": 1.0, "0.7": 1.0}
    assert figures["groups"] == {
        name: {"queries": count, "mean_average_precision": 1.0}
        for name, count in {
            "2 characters": 1,  # "no" is in no mean but this
            "3 characters": 1,
            "4 to 5 characters": 1,
            "letters only": 3,
            "small letters somewhere": 3,
        }.items()
    }


def test_chinese_words_of_two_characters_are_asked_for() -> None:
    photos = [Photo("a.jpg", Path("a.jpg"), [], ("咖啡", "茶", "24", "出口A", "bar"))]
    charset = Charset(CHARSETS["chinese-3755"])
    assert sorted(choose_queries(None, photos, charset.fold)) == ["bar", "出口a", "咖啡"]


def test_queries_are_folded_and_equal_ones_put_together() -> None:
    photos = [Photo(name, Path(name), []) for name in ("a.jpg", "b.jpg")]
    asked = {"Café": {"a.jpg"}, "cafe": {"b.jpg"}}
    assert choose_queries(asked, photos, Charset().fold) == {"cafe": {"a.jpg", "b.jpg"}}
    assert asked == {"Café": {"a.jpg"}, "cafe": {"b.jpg"}}
    with pytest.raises(ValueError, match="no character"):
        choose_queries({"!": {"a.jpg"}}, photos, Charset().fold)


def test_without_proposals_photos_are_ranked_by_name(dataset: Path) -> None:
    result = measure(dataset, blind=True)
    assert result.average_precisions == {"bar": 1.0, "cafe": 1.0}  # a, b, c: luck of the names
    assert result.recall == {"0.5": 0.0, "0.7": 0.0}
    assert result.detection["deteval"] == result.annotation["iou_0.5"] == NOTHING
    assert result.proposals_per_photo == 0


def test_recall_looks_at_the_best_proposals_only(dataset: Path) -> None:
    assert measure(dataset, top_k=1).recall["0.5"] == pytest.approx(1 / 2)


@pytest.mark.parametrize(
    ("queries", "expected"),
    [
        (["No", "bar"], {"bar": 1.0, "no": 1.0}),  # words alone are folded and looked up in the photos
        ({"caf": ["a.png"]}, {"caf": 1.0}),  # a file's own relevance counts, whatever the photos say
        ({"bar": ["c.png"]}, {"bar": 1 / 3}),
    ],
)
def test_queries_from_a_file(dataset: Path, queries: object, expected: dict[str, float]) -> None:
    assert measure(dataset, queries).average_precisions == pytest.approx(expected)


@pytest.mark.parametrize(
    ("queries", "message"),
    [
        ({"bar": ["elsewhere.png"]}, "no photo shows the queries bar"),
        (["zebra"], "no photo shows the queries zebra"),
        ([], "neither a list of words"),
        ({"bar": "a.png"}, "neither a list of words"),
        (5, "neither a list of words"),
    ],
)
def test_queries_that_cannot_be_measured(dataset: Path, queries: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        measure(dataset, queries)


def test_missing_files_are_named(dataset: Path, tmp_path: Path) -> None:
    encoder = ReadingEncoder()
    with pytest.raises(ValueError, match=r"none.json cannot be read"):
        evaluate(encoder, dataset, tmp_path / "none.json")  # type: ignore[arg-type]
    (tmp_path / "b.png").unlink()
    with pytest.raises(OSError, match=r"b.png"):
        measure(dataset)


def test_progress_is_told(dataset: Path) -> None:
    calls: list[tuple[int, int]] = []
    measure(dataset, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_frequent_queries_break_ties_by_name() -> None:
    assert frequent({"b": {"1"}, "c": {"1", "2"}, "a": {"1"}}, 2) == ["c", "a"]


def test_a_real_encoder_is_measured(dataset: Path, tiny_checkpoint: Path) -> None:
    result = evaluate(Encoder(tiny_checkpoint, device="cpu-torch", longer_sides=(64,), threads=1), dataset)
    assert 0 < result.mean_average_precision <= 1
    assert set(result.recall) == {"0.5", "0.7"}


def test_a_data_set_names_its_queries_and_needs_no_places(tmp_path: Path) -> None:
    for folder in ("Café", "bar"):
        (tmp_path / folder).mkdir()
    Image.new("RGB", (100, 20), (0, 0, 0)).save(tmp_path / "Café" / "1.png")
    Image.new("RGB", (100, 20), (1, 0, 0)).save(tmp_path / "bar" / "1.png")
    result = evaluate(ReadingEncoder(), tmp_path)  # type: ignore[arg-type]
    assert set(result.average_precisions) == {"bar", "cafe"}
    assert (result.detection, result.annotation) == ({}, {})


def test_queries_in_letters_that_the_network_lacks_are_named(tmp_path: Path) -> None:
    (tmp_path / "七天").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "七天" / "1.png")
    with pytest.raises(ValueError, match="the query '七天' has no character that the network knows"):
        evaluate(ReadingEncoder(), tmp_path)  # type: ignore[arg-type]
