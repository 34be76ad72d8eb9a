from pathlib import Path

import pytest
import torch
from torch import nn

from model import runtime


@pytest.mark.parametrize("device", ["tpu", "", "cudaX"])
def test_unknown_devices_are_refused(device: str) -> None:
    with pytest.raises(ValueError, match="not one of auto, cpu"):
        runtime.choose(device)


def test_a_missing_gpu_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="no CUDA device"):
        runtime.choose("cuda")
    assert runtime.choose("auto") == (torch.device("cpu"), "openvino")


class Both(nn.Module):
    """Two outputs, so that tuples are tested too."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = self.layer(x)
        return y, y.sum(1)


def test_openvino_and_torch_agree_at_sizes_never_seen() -> None:
    module = Both().eval().requires_grad_(False)
    compiled = runtime.Compiled(
        module, [torch.zeros(1, 4)], device=torch.device("cpu"), engine="openvino", threads=1, half=False
    )
    for rows in (1, 5, 2):
        x = torch.randn(rows, 4)
        for ours, theirs in zip(compiled(x), module(x), strict=True):
            assert torch.allclose(ours, theirs, atol=1e-5)


def test_results_outlive_the_next_call() -> None:
    module = nn.Linear(2, 2).eval().requires_grad_(False)
    compiled = runtime.Compiled(
        module, [torch.zeros(1, 2)], device=torch.device("cpu"), engine="openvino", threads=1, half=False
    )
    first = compiled(torch.ones(1, 2))
    kept = first.clone()
    compiled(torch.zeros(1, 2))
    assert torch.equal(first, kept)


def test_a_cached_conversion_is_used_and_a_broken_one_replaced(tmp_path: Path) -> None:
    module = nn.Linear(2, 2).eval().requires_grad_(False)
    cache = tmp_path / "cache" / "linear"

    def compiled(layer: nn.Module) -> runtime.Compiled:
        device = torch.device("cpu")
        return runtime.Compiled(
            layer, [torch.zeros(1, 2)], device=device, engine="openvino", threads=1, half=False, cache=cache
        )

    x = torch.randn(3, 2)
    first = compiled(module)(x)
    other = nn.Linear(2, 2).eval().requires_grad_(False)
    assert torch.equal(compiled(other)(x), first)  # what was kept, not what is given
    (cache / "network.xml").write_text("broken")
    assert torch.allclose(compiled(other)(x), other(x), atol=1e-5)
    assert torch.allclose(compiled(module)(x), other(x), atol=1e-5)  # kept anew
