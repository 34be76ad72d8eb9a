"""The encoder with the shipped network on pictures drawn here."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from model.encoder import WORD_BATCH, Encoder, Proposals
from model.reranking import log_likelihoods


def draw(words: dict[str, tuple[int, int]], size: tuple[int, int] = (640, 480)) -> NDArray[np.uint8]:
    """Return a picture of dark words on a light ground, each at its place."""
    image = Image.new("RGB", size, (225, 220, 205))
    pen = ImageDraw.Draw(image)
    for word, place in words.items():
        pen.text(place, word, fill=(40, 30, 60), font=ImageFont.load_default(34))
    return np.asarray(image)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(device="cpu", threads=1)


@pytest.fixture(scope="module")
def picture() -> NDArray[np.uint8]:
    return draw({"COFFEE": (60, 80), "bakery": (320, 300)})


@pytest.fixture(scope="module")
def proposals(encoder: Encoder, picture: NDArray[np.uint8]) -> Proposals:
    return encoder.encode_images([picture])[0]


def test_words_are_found_read_and_matched(encoder: Encoder, proposals: Proposals) -> None:
    similarity = encoder.encode_texts(["coffee", "bakery"]) @ proposals.embeddings.T
    for row, (word, place) in enumerate([("coffee", (60, 80)), ("bakery", (320, 300))]):
        best = similarity[row].argmax()
        assert similarity[row, best] > 0.7
        assert proposals.transcripts[best].lower() == word
        x0, y0, x1, y1 = proposals.boxes[best]
        assert abs(x0 - place[0]) < 25
        assert place[1] - 10 < y0 < y1 < place[1] + 75
        assert 80 < x1 - x0 < 190


@pytest.mark.parametrize("height", [16, 34, 120])
def test_clean_words_of_any_size_are_surely_found(encoder: Encoder, height: int) -> None:
    image = Image.new("RGB", (640, 480), (200, 210, 220))
    ImageDraw.Draw(image).text((20, 40), "hotel", (30, 20, 60), ImageFont.load_default(height))
    _, scores = encoder.locate(np.asarray(image))
    assert scores[0] > 0.65


def test_embeddings_are_drawn_to_what_their_own_regions_may_say(encoder: Encoder) -> None:
    picture = draw({"GATE": (60, 30), "mango": (60, 180), "Plaza": (60, 330)})
    (after,) = encoder.encode_images([picture])
    plain = Encoder(device="cpu", threads=1, judge=False)
    (before,) = plain.encode_images([picture])
    rule, speller = encoder._rule, plain._speller
    assert rule is not None
    assert speller is not None
    at = {tuple(box): number for number, box in enumerate(before.boxes.tolist())}
    assert {"gate", "mango", "plaza"} <= {encoder.charset.fold(text) for text in after.transcripts}
    sure = 0
    for box, text, kept in zip(after.boxes.tolist(), after.transcripts, after.embeddings, strict=True):
        number = at[tuple(box)]
        likely = speller.spell(before.steps[number])
        if before.confidences[number] > 0.8:
            sure += 1
            assert likely[0][0] == encoder.charset.fold(text)
        named = [(spelling, share) for spelling, share in likely if spelling]
        means = np.array([share for _, share in named]) @ encoder.encode_texts([word for word, _ in named])
        mixed = before.embeddings[number] + rule.share * means
        np.testing.assert_allclose(kept, mixed / np.linalg.norm(mixed), atol=1e-4)
    assert sure >= 2


def test_what_was_seen_is_noted(encoder: Encoder, proposals: Proposals, picture: NDArray[np.uint8]) -> None:
    for found in (proposals, encoder.embed_quads(picture, proposals.quads)):
        assert (len(found.posteriors), found.steps) == (len(found.scores), [])
        texts = list(map(encoder.charset.fold, found.transcripts))
        for word in ("coffee", "bakery"):
            assert log_likelihoods(word, found.posteriors).argmax() == texts.index(word)


def test_similarity_follows_the_edit_distance(encoder: Encoder, proposals: Proposals) -> None:
    words = ["coffee", "coffe", "coffin", "zebra"]
    best = (encoder.encode_texts(words) @ proposals.embeddings.T).max(1)
    assert (np.diff(best) < 0).all()


def test_proposals_have_the_promised_shapes(proposals: Proposals) -> None:
    n = len(proposals.scores)
    assert proposals.boxes.shape == (n, 4)
    assert proposals.quads.shape == (n, 4, 2)
    assert proposals.embeddings.shape == (n, 1920)
    assert len(proposals.transcripts) == n
    for values in (
        proposals.boxes,
        proposals.quads,
        proposals.scores,
        proposals.confidences,
        proposals.embeddings,
    ):
        assert values.dtype == np.float32
        assert np.isfinite(values).all()
    assert np.allclose(np.linalg.norm(proposals.embeddings, axis=1), 1, atol=1e-5)
    assert (np.diff(proposals.scores) <= 0).all()
    assert ((proposals.scores >= 0) & (proposals.scores <= 1)).all()


def test_boxes_are_in_pixels_of_the_photo_at_any_size(encoder: Encoder, picture: NDArray[np.uint8]) -> None:
    large = np.asarray(Image.fromarray(picture).resize((3200, 2400), Image.Resampling.BICUBIC))
    query = encoder.encode_texts(["coffee"])[0]
    found = encoder.encode_images([large])[0]
    box = found.boxes[(found.embeddings @ query).argmax()]
    assert np.allclose(box, [60 * 5, 85 * 5, 200 * 5, 120 * 5], atol=25 * 5)


def test_torch_and_openvino_agree(encoder: Encoder, picture: NDArray[np.uint8], proposals: Proposals) -> None:
    torch_encoder = Encoder(device="cpu-torch")
    assert np.allclose(torch_encoder.encode_texts(["coffee"]), encoder.encode_texts(["coffee"]), atol=2e-3)
    other = torch_encoder.encode_images([picture])[0]
    strong = [proposals.scores[:2], other.scores[:2]]
    assert np.allclose(*strong, atol=0.15)
    assert np.allclose(np.sort(proposals.boxes[:2], 0), np.sort(other.boxes[:2], 0), atol=3)
    cosine = (proposals.embeddings[:2] @ other.embeddings.T).max(1)
    assert (cosine > 0.97).all()  # eight bits against float32


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_and_openvino_agree(picture: NDArray[np.uint8], proposals: Proposals) -> None:
    other = Encoder(device="cuda").encode_images([picture])[0]
    assert ((proposals.embeddings[:2] @ other.embeddings.T).max(1) > 0.97).all()


def test_a_picture_is_the_same_alone_and_in_a_batch(encoder: Encoder, picture: NDArray[np.uint8]) -> None:
    other = draw({"museum": (100, 100)}, size=(300, 500))
    alone = encoder.encode_images([picture])[0]
    batch = encoder.encode_images([other, picture])[1]
    assert np.allclose(alone.embeddings, batch.embeddings, atol=1e-3)


def test_a_multi_scale_search_finds_the_words_too(picture: NDArray[np.uint8]) -> None:
    encoder = Encoder(device="cpu", threads=1, longer_sides=(960, 1280))
    found = encoder.encode_images([picture])[0]
    assert {"coffee", "bakery"} <= {word.lower() for word in found.transcripts}


def test_no_text_gives_no_proposals(encoder: Encoder) -> None:
    empty = encoder.encode_images([np.full((200, 200, 3), 128, np.uint8)])[0]
    assert empty.boxes.shape == (0, 4)
    assert empty.quads.shape == (0, 4, 2)
    assert empty.embeddings.shape == (0, 1920)
    assert empty.transcripts == []


def test_given_regions_are_read(encoder: Encoder, picture: NDArray[np.uint8]) -> None:
    quads = np.array([[[60, 86], [196, 86], [196, 118], [60, 118]]], np.float32)
    assert encoder.embed_quads(picture, quads).transcripts[0].lower() == "coffee"


def test_no_words_and_unknown_words(encoder: Encoder) -> None:
    assert encoder.encode_texts([]).shape == (0, 1920)
    with pytest.raises(ValueError, match="none of the characters"):
        encoder.encode_texts(["fine", "!!!"])


def test_one_word_is_encoded_as_among_many(encoder: Encoder) -> None:
    words = ["a", *(f"n{number}" for number in range(2 * WORD_BATCH)), "24", "internationalisation"]
    assert np.allclose(encoder.encode_texts(words)[-2:], encoder.encode_texts(words[-2:]), atol=1e-4)
    many = encoder.encode_texts(["a", "internationalisation", "24"])
    assert np.allclose(many[2], encoder.encode_texts(["24"])[0], atol=1e-4)
