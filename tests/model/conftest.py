import dataclasses
from pathlib import Path

import pytest
import torch

from model import checkpoint
from model.backbone import TrunkConfig
from model.retriever import Retriever, RetrieverConfig

TINY_TRUNK = TrunkConfig(
    stem=4, channels=(4, 4, 8, 8), excite=((True,), (False,), (True,), (False,)), strides=((2, 2),) * 3
)
TINY_READING_TRUNK = TrunkConfig(
    stem=4, channels=(8, 8, 8), excite=((True,), (False,), (True,)), strides=((2, 1),) * 2
)


@pytest.fixture
def tiny() -> Retriever:
    """A narrow network with random weights."""
    torch.manual_seed(0)
    config = RetrieverConfig(
        characters="abc",
        steps=5,
        channels=4,
        hidden=8,
        pyramid=8,
        reading=8,
        heads=2,
        detection_trunk=TINY_TRUNK,
        reading_trunk=TINY_READING_TRUNK,
    )
    return Retriever(config).eval().requires_grad_(False)


@pytest.fixture
def tiny_joint(tiny: Retriever) -> Retriever:
    """A narrow network that reads in its detector's maps."""
    return Retriever(dataclasses.replace(tiny.config, shared=True)).eval().requires_grad_(False)


@pytest.fixture
def tiny_checkpoint(tiny: Retriever, tmp_path: Path) -> Path:
    """The narrow network as a file."""
    path = tmp_path / "tiny.safetensors"
    checkpoint.save(path, tiny, {"min_score": 0.0})
    return path
