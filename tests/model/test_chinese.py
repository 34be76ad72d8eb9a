"""The shipped Chinese checkpoint on signs drawn by this project (signs.png, in Noto Sans and Serif CJK)."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.charset import CHARSETS
from model.encoder import Encoder, Proposals
from model.shipped import shipped

# Words and where their middles are, in pixels.
SIGNS = {
    "咖啡馆": (160, 98),
    "银行": (472, 112),
    "停车场": (420, 255),
    "北京大学": (480, 370),
    "hotel": (155, 368),
}


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(shipped()["chinese"], device="cpu", threads=1)


@pytest.fixture(scope="module")
def proposals(encoder: Encoder) -> Proposals:
    picture = Image.open(Path(__file__).with_name("signs.png")).convert("RGB")
    return encoder.encode_images([np.asarray(picture)])[0]


def test_it_knows_chinese_and_latin(encoder: Encoder) -> None:
    assert encoder.charset.characters == CHARSETS["chinese-3755"]


@pytest.mark.parametrize("word", SIGNS)
def test_a_drawn_word_is_found_and_read(encoder: Encoder, proposals: Proposals, word: str) -> None:
    similarity = encoder.encode_texts([word])[0] @ proposals.embeddings.T
    best = int(similarity.argmax())
    assert similarity[best] > 0.3  # 咖 and 啡 are rare
    assert proposals.transcripts[best].lower() == word
    x0, y0, x1, y1 = proposals.boxes[best]
    assert abs((x0 + x1) / 2 - SIGNS[word][0]) < 20
    assert abs((y0 + y1) / 2 - SIGNS[word][1]) < 20


def test_similarity_follows_the_edit_distance_in_chinese(encoder: Encoder, proposals: Proposals) -> None:
    words = ["咖啡馆", "咖啡", "咖喱饭", "停止线"]
    best = encoder.encode_texts(words) @ proposals.embeddings[proposals.transcripts.index("咖啡馆")]
    assert (np.diff(best) < 0).all()
