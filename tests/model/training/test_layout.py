from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from model.training.layout import Depthwise, lay_out
from model.training.settings import Settings


def learn(layer: nn.Conv2d, x: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return what a layer makes of x, and the gradients of x and of its kernels."""
    x = x.clone().requires_grad_(True)
    layer.zero_grad()
    result = layer(x)
    (result.float() * weights).sum().backward()
    assert x.grad is not None
    assert layer.weight.grad is not None
    return result.detach().float(), x.grad.float(), layer.weight.grad.float()


@pytest.mark.parametrize("shape", [(2, 3, 9, 14), (5, 3, 8, 32), (1, 3, 4, 4)])
@pytest.mark.parametrize(("bf16", "tolerance"), [(False, 1e-4), (True, 0.03)])
def test_wide_depthwise_kernels_learn_as_before(
    shape: tuple[int, ...], bf16: bool, tolerance: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Depthwise, "PIXELS", 300)  # two pictures at once of the first shape
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 3, 5, 1, 2, groups=3, bias=False)
    x, weights = torch.randn(shape), torch.randn(shape)
    expected = learn(layer, x, weights)
    lay_out(layer, Settings(data=tmp_path, out=tmp_path, bf16=True))
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        found = learn(layer, x, weights)
    assert "forward" in vars(layer)
    for one, other in zip(found, expected, strict=True):
        assert float((one - other).abs().max()) <= tolerance * float(other.abs().max())


def test_other_layers_and_float32_are_left_alone(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(4, 4, 3, 1, 1, groups=4), nn.Conv2d(4, 4, 5, 1, 2))
    for bf16 in (True, False):
        lay_out(network, Settings(data=tmp_path, out=tmp_path, bf16=bf16))
        assert not any("forward" in vars(layer) for layer in network)
    wide = nn.Conv2d(4, 4, 5, 1, 2, groups=4)
    lay_out(wide, Settings(data=tmp_path, out=tmp_path))
    assert "forward" not in vars(wide)
