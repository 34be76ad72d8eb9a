"""More characters, with the published reading network that has them."""

import sys
from pathlib import Path

import pytest
import torch

from model import checkpoint
from model.charset import CHARSETS, LATIN
from model.embedder import stretch_words
from model.retriever import Retriever
from model.training.ppocr import OnnxWeights, model_file, published_characters
from model.training.widen import full_charset, main, widen

WORDS = [[1, 11, 36], [20, 20]]  # of Latin


@pytest.fixture(scope="module")
def source() -> OnnxWeights:
    return OnnxWeights(model_file("PP-OCRv6_rec_small.onnx"))


@pytest.fixture(scope="module")
def before() -> Retriever:
    return checkpoint.load().retriever


@pytest.fixture(scope="module")
def after(before: Retriever, source: OnnxWeights) -> Retriever:
    return widen(before, CHARSETS["chinese-3755"], source, share=0.0)


def test_latin_stays_what_it_was(before: Retriever, after: Retriever) -> None:
    numbers, stretch = stretch_words(WORDS, before.config.steps)
    torch.testing.assert_close(after.embed_words(numbers, stretch), before.embed_words(numbers, stretch))
    crops = torch.rand(2, 3, 48, 64, generator=torch.Generator().manual_seed(0)) * 255
    old, new = before.recognizer(crops), after.recognizer(crops)
    torch.testing.assert_close(new[0], old[0])
    torch.testing.assert_close(new[1][..., : old[1].shape[-1]], old[1])
    assert after.config.characters.startswith(before.config.characters)


def test_new_characters_have_the_published_rows(after: Retriever, source: OnnxWeights) -> None:
    characters = after.config.characters
    assert len(characters) == after.recognizer.classifier.out_features - 1
    assert set(CHARSETS["chinese-3755"]) - set(characters) == {"硷"}  # not published
    weight = source.of("MatMul")[-1][0].T
    place, row = characters.index("咖"), published_characters(source).index("咖")
    torch.testing.assert_close(after.recognizer.classifier.weight[place + 1], weight[row + 1])


def test_new_characters_look_alike_in_the_text_branch_as_they_do_to_the_reader(after: Retriever) -> None:
    charset = after.config.charset
    words = ["咖啡", "咖啡馆", "大学"]
    numbers, stretch = stretch_words([[1 + charset.index(c) for c in word] for word in words], 15)
    similarity = after.embed_words(numbers, stretch)
    similarity = similarity @ similarity.T
    assert similarity[0, 1] > similarity[0, 2] + 0.3
    embedding = after.text_branch.embedding.weight
    assert torch.isfinite(embedding).all()
    assert len(embedding.unique(dim=0)) == len(charset) + 1


def test_the_reader_goes_back_as_far_as_it_is_told(
    before: Retriever, after: Retriever, source: OnnxWeights
) -> None:
    half, whole = (widen(before, LATIN, source, share) for share in (0.5, 1.0))
    first, middle, last = (n.recognizer.classifier.bias[:37] for n in (before, half, whole))
    assert (first - last).abs().max() > 0
    torch.testing.assert_close(middle, (first + last) / 2)
    with pytest.raises(ValueError, match="the charset lacks z"):
        widen(before, LATIN[:-1], source)


def test_the_full_dictionary_is_what_can_be_searched_for(source: OnnxWeights) -> None:
    charset = full_charset(published_characters(source))
    assert charset.startswith(LATIN)
    assert len(charset) == 16259
    assert set("咖館か") <= set(charset)
    assert not set("É①℃，") & set(charset)  # folding leaves none of them
    assert full_charset(["ab", "E", "é", "馆", "馆"]) == LATIN + "馆"


def test_command_writes_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "wide.safetensors"
    monkeypatch.setattr(sys, "argv", ["widen", str(out), "--charset", "chinese-1019"])
    main()
    loaded = checkpoint.load(out)
    assert loaded.network.config.charset == CHARSETS["chinese-1019"]
    assert loaded.card["charset"] == "chinese-1019"
