import pytest
import torch

from model.backbone import Trunk
from model.retriever import RetrieverConfig


@pytest.mark.parametrize(
    ("trunk", "sizes"),
    [
        ("detection_trunk", [(48, 16, 24), (96, 8, 12), (192, 4, 6), (384, 2, 3)]),  # strides 4, 8, 16, 32
        ("reading_trunk", [(96, 16, 24), (192, 8, 24), (384, 4, 24)]),  # width is kept for the letters
    ],
)
def test_trunk_returns_a_map_a_stage(trunk: str, sizes: list[tuple[int, ...]]) -> None:
    maps = Trunk(getattr(RetrieverConfig(), trunk))(torch.zeros(1, 3, 64, 96))
    assert [tuple(x.shape[1:]) for x in maps] == sizes


def test_load_in_order_refuses_what_does_not_fit() -> None:
    trunk = Trunk(RetrieverConfig().detection_trunk)
    with pytest.raises(ValueError, match="54 convolutions, 1 weights"):
        trunk.load_in_order([torch.zeros(1)], [torch.zeros(1)])
    shapes = [torch.zeros(1, 1)] * 54
    with pytest.raises(ValueError, match="does not fit"):
        trunk.load_in_order(shapes, shapes)
