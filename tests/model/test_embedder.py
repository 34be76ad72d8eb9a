import pytest
import torch

from model.embedder import embed, stretch_words
from model.retriever import Retriever


def test_embedding_is_equation_one() -> None:
    first, second = torch.randn(1, 5, 4), torch.randn(1, 5, 4)
    a, b = first.flatten().tanh(), second.flatten().tanh()
    assert torch.allclose((embed(first) @ embed(second).T)[0, 0], a @ b / (a.norm() * b.norm()))


@pytest.mark.parametrize(
    ("length", "steps", "rows"),
    [
        (1, 3, [[1], [1], [1]]),  # one letter fills the whole length
        (2, 3, [[1, 0], [0.5, 0.5], [0, 1]]),  # ends stay, the middle is mixed
        (5, 3, [[1, 0, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 1]]),  # longer words are thinned out
    ],
)
def test_stretch_interpolates_between_the_ends(length: int, steps: int, rows: list[list[float]]) -> None:
    _, stretch = stretch_words([list(range(1, length + 1))], steps)
    assert torch.allclose(stretch[0], torch.tensor(rows, dtype=torch.float32))


def test_a_word_is_the_same_alone_and_beside_a_longer_one(tiny: Retriever) -> None:
    alone = tiny.embed_words(*stretch_words([[1, 2]], 5))
    beside = tiny.embed_words(*stretch_words([[1, 2], [3, 4, 5, 6, 7, 8, 9]], 5))
    assert torch.allclose(alone[0], beside[0], atol=1e-5)


def test_padding_makes_lengths_multiples_and_words_stay_the_same(tiny: Retriever) -> None:
    numbers, stretch = stretch_words([[1, 2, 3]], 5, padding=4)
    assert (numbers.shape, stretch.shape) == ((1, 4), (1, 5, 4))
    plain = tiny.embed_words(*stretch_words([[1, 2, 3]], 5))
    assert torch.allclose(tiny.embed_words(numbers, stretch), plain, atol=1e-5)


def test_image_branch_takes_any_width(tiny: Retriever) -> None:
    for width in (64, 320):
        embeddings, _ = tiny.embed_crops(torch.rand(2, 3, 48, width) * 255)
        assert embeddings.shape == (2, 20)
        assert torch.allclose(embeddings.norm(dim=1), torch.ones(2))
