import dataclasses
import sys
from pathlib import Path

import pytest
import torch

from model import checkpoint
from model.retriever import Retriever
from model.training import mix


@pytest.fixture
def after(tiny: Retriever, tmp_path: Path) -> Path:
    """The narrow network with every number moved by one."""
    path = tmp_path / "after.safetensors"
    moved = Retriever(tiny.config)
    moved.load_state_dict(
        {name: t + 1 if t.is_floating_point() else t for name, t in tiny.state_dict().items()}
    )
    checkpoint.save(path, moved, {"min_score": 0.5})
    return path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["mix", *map(str, arguments)])
    mix.main()


def test_weights_lie_between(
    tiny: Retriever, tiny_checkpoint: Path, after: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "mixed.safetensors"
    run(monkeypatch, tiny_checkpoint, after, out, "--share", "0.25")
    mixed = checkpoint.load(out)
    assert mixed.card == {"min_score": 0.5, "mixed": 0.25}
    for name, tensor in tiny.state_dict().items():
        if tensor.is_floating_point():
            torch.testing.assert_close(mixed.retriever.state_dict()[name], tensor + 0.25, atol=5e-3, rtol=0)


@pytest.mark.parametrize("share", ["-0.1", "1.5"])
def test_a_share_out_of_range_is_one_line(
    tiny_checkpoint: Path, after: Path, share: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as caught:
        run(monkeypatch, tiny_checkpoint, after, tmp_path / "out", "--share", share)
    assert caught.value.code == 2


def test_different_networks_cannot_be_mixed(tiny: Retriever, tiny_checkpoint: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    checkpoint.save(other, Retriever(dataclasses.replace(tiny.config, hidden=16)), {})
    with pytest.raises(ValueError, match="different configurations"):
        mix.mix(checkpoint.load(tiny_checkpoint), checkpoint.load(other), 0.5)
