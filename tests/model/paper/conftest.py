from pathlib import Path

import pytest
import torch

from model import checkpoint
from model.paper.network import PaperConfig, PaperNetwork


@pytest.fixture
def narrow() -> PaperNetwork:
    """A narrow network with random weights."""
    torch.manual_seed(0)
    return PaperNetwork(PaperConfig(width=32)).eval().requires_grad_(False)


@pytest.fixture
def narrow_checkpoint(narrow: PaperNetwork, tmp_path: Path) -> Path:
    """The narrow network as a file."""
    path = tmp_path / "narrow.safetensors"
    checkpoint.save(path, narrow, {"min_score": 0.0})
    return path
