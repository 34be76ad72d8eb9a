import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from model import checkpoint
from model.paper.network import PaperConfig, PaperNetwork
from model.retriever import Retriever
from model.shipped import shipped


def test_load_gives_back_what_was_saved(tiny: Retriever, tiny_checkpoint: Path) -> None:
    loaded = checkpoint.load(tiny_checkpoint)
    assert loaded.card == {"min_score": 0.0}
    assert len(loaded.version) == 64
    assert not loaded.retriever.training
    for name, tensor in tiny.state_dict().items():
        assert torch.allclose(
            loaded.retriever.state_dict()[name].float(), tensor.float(), rtol=1e-3, atol=1e-3
        )


def test_a_checkpoint_of_the_preset_paper_is_one_too(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = PaperNetwork(PaperConfig(charset="abc", width=16, steps=7))
    path = tmp_path / "paper.safetensors"
    checkpoint.save(path, network, {"min_score": 0.2})
    loaded = checkpoint.load(path)
    assert isinstance(loaded.network, PaperNetwork)
    assert loaded.network.config == network.config
    halves = {name: tensor.half().float() for name, tensor in network.state_dict().items()}
    torch.testing.assert_close(loaded.network.state_dict(), halves)
    assert not any(parameter.requires_grad for parameter in loaded.network.parameters())
    with pytest.raises(checkpoint.CheckpointError, match="of accurate or joint, but this one is of paper"):
        _ = loaded.retriever


def test_a_checkpoint_of_the_preset_joint_is_one_too(tiny_joint: Retriever, tmp_path: Path) -> None:
    path = tmp_path / "joint.safetensors"
    checkpoint.save(path, tiny_joint, {"min_score": 0.2})
    with safe_open(path, "pt") as file:
        assert json.loads(file.metadata()["glyphseek"])["preset"] == "joint"
    loaded = checkpoint.load(path).retriever
    assert loaded.config == tiny_joint.config
    halves = {name: t.half().float() for name, t in tiny_joint.state_dict().items() if t.is_floating_point()}
    torch.testing.assert_close(
        dict(loaded.named_parameters()), {n: halves[n] for n, _ in loaded.named_parameters()}
    )


def test_an_unknown_preset_is_refused(tmp_path: Path) -> None:
    header = {"glyphseek": json.dumps({"preset": "deluxe", "config": {}, "card": {}})}
    save_file({"weight": torch.ones(1)}, tmp_path / "x.safetensors", header)
    with pytest.raises(checkpoint.CheckpointError, match="its preset is 'deluxe'"):
        checkpoint.load(tmp_path / "x.safetensors")


def test_version_follows_the_content(tiny: Retriever, tmp_path: Path) -> None:
    for name, score in (("a", 0.1), ("b", 0.1), ("c", 0.2)):
        checkpoint.save(tmp_path / name, tiny, {"min_score": score})
    first, same, other = (checkpoint.load(tmp_path / name).version for name in "abc")
    assert first == same
    assert first != other


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\x08\0\0\0\0\0\0\0{}      "])
def test_anything_else_is_refused_with_a_reason(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.safetensors"
    path.write_bytes(content)
    with pytest.raises(
        checkpoint.CheckpointError, match=r"broken\.safetensors is not a glyphseek checkpoint"
    ):
        checkpoint.load(path)


def test_a_missing_file_is_refused_with_a_reason(tmp_path: Path) -> None:
    with pytest.raises(checkpoint.CheckpointError, match="nothing is not a"):
        checkpoint.load(tmp_path / "nothing")


@pytest.mark.parametrize("name", shipped())
def test_shipped_checkpoints_are_complete_and_small(name: str) -> None:
    path = shipped()[name]
    assert path.stat().st_size < 40e6
    card = checkpoint.load(path).card
    assert {"preset", "min_score", "recipe", "figures", "credit", "licence"} <= card.keys()


def test_what_makes_it_fast_is_kept_beside_the_weights(tiny: Retriever, tmp_path: Path) -> None:
    path = tmp_path / "eight.safetensors"
    parts = {"detector": (b"<net/>", bytes(range(256))), "reader": (b"<x/>", b"1")}
    checkpoint.save(path, tiny, {}, checkpoint.Extras(parts, torch.eye(3, 60)))
    loaded = checkpoint.load(path)
    assert loaded.extras.eight_bits == parts
    assert loaded.extras.query_basis is not None
    assert torch.equal(loaded.extras.query_basis, torch.eye(3, 60))
    assert loaded.retriever.state_dict().keys() == tiny.state_dict().keys()


def test_the_shipped_checkpoint_is_fast() -> None:
    extras = checkpoint.load().extras
    assert extras.eight_bits.keys() == {"detector", "reader"}
    assert extras.query_basis is not None
    assert extras.query_basis.shape == (510, 1920)
