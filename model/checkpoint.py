"""Checkpoints: safetensors in half precision, with the configuration in the header.

A checkpoint may hold what makes it fast too (`model.training.accelerate` adds it): parts of the network in
eight bits, as OpenVINO runs them on a processor, and a basis of its queries.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from model import transforms
from model.legibility import Legibility
from model.paper.network import PaperConfig, PaperNetwork
from model.retriever import Retriever, RetrieverConfig
from model.runtime import Converted
from model.shipped import DEFAULT, shipped

Network = Retriever | PaperNetwork
EIGHT_BITS, ENDINGS, QUERY_BASIS = "openvino.", ("xml", "bin"), "query_basis"
DEFAULT_CHECKPOINT = shipped()[DEFAULT]
LONGER_SIDE = 1280  # of a checkpoint that does not say


class CheckpointError(ValueError):
    """The file is not a glyphseek checkpoint."""


@dataclass(frozen=True)
class Extras:
    """What makes a network fast.

    Attributes:
        eight_bits: Parts of it for OpenVINO, by the names the encoder gives them.
        query_basis: Orthonormal vectors (B, D) in which most of every query's embedding lies.
    """

    eight_bits: dict[str, Converted] = field(default_factory=dict)
    query_basis: Tensor | None = None


@dataclass(frozen=True)
class Checkpoint:
    """A trained network.

    Attributes:
        network: The module in evaluation mode.
        version: Its identity, the SHA-256 of the file.
        card: Free-form notes of its training.
        extras: What makes it fast.
    """

    network: Network
    version: str
    card: dict[str, Any]
    extras: Extras

    @property
    def longer_side(self) -> int:
        """Size in pixels at which photos are searched for words unless somebody wishes for another."""
        return int(self.card.get("longer_side", LONGER_SIDE))

    @property
    def squeeze(self) -> float:
        """By how much words may be made narrower to be read, see `transforms.crop_width`."""
        return float(self.card.get("squeeze", transforms.SQUEEZE))

    @property
    def legibility(self) -> Legibility | None:
        """How regions are judged by what was read there; by the detector's score alone if there is none."""
        values = self.card.get("legibility")
        return Legibility(**{**values, "weights": tuple(values["weights"])}) if values else None

    @property
    def retriever(self) -> Retriever:
        """The network, for what works on the presets `accurate` and `joint` only.

        Raises:
            CheckpointError: it is of another preset.
        """
        if not isinstance(self.network, Retriever):
            raise CheckpointError("this needs a checkpoint of accurate or joint, but this one is of paper")
        return self.network


def save(path: Path, network: Network, card: dict[str, Any], extras: Extras | None = None) -> None:
    """Write a network to `path`, which is replaced at once.

    Args:
        path: File to write.
        network: Floating-point tensors are stored as float16.
        card: JSON-able notes: preset, score threshold, recipe, figures.
        extras: What makes it fast.
    """
    tensors = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous().cpu()
        for name, tensor in network.state_dict().items()
    }
    extras = extras or Extras()
    for name, parts in extras.eight_bits.items():
        for ending, content in zip(ENDINGS, parts, strict=True):
            tensors[f"{EIGHT_BITS}{name}.{ending}"] = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    if extras.query_basis is not None:
        tensors[QUERY_BASIS] = extras.query_basis.half().contiguous()
    # One entry: the library writes several in random order, and the file's hash is the version.
    preset = ("joint" if network.config.shared else "accurate") if isinstance(network, Retriever) else "paper"
    header = {"preset": preset, "config": network.config.to_dict(), "card": card}
    temporary = path.with_name(path.name + ".part")
    save_file(tensors, temporary, {"glyphseek": json.dumps(header)})
    temporary.chmod(0o644)  # safetensors makes it private
    temporary.replace(path)


def load(path: Path = DEFAULT_CHECKPOINT) -> Checkpoint:
    """Read a network from `path`.

    Raises:
        CheckpointError: the file is missing, damaged or of another program.
    """
    try:
        version = hashlib.sha256(path.read_bytes()).hexdigest()
        with safe_open(path, "pt") as file:
            header = json.loads((file.metadata() or {})["glyphseek"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        extras = _take_extras(tensors)
        network = _build(header)
        network.load_state_dict(
            {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
        )
        card = header["card"]
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as exc:
        raise CheckpointError(f"{path.name} is not a glyphseek checkpoint: {exc}") from exc
    return Checkpoint(network.eval().requires_grad_(False), version, card, extras)


def _build(header: dict[str, Any]) -> Network:
    preset, config = header.get("preset", "accurate"), header["config"]  # the first files name none
    if preset in ("accurate", "joint"):
        return Retriever(RetrieverConfig.from_dict(config))
    if preset == "paper":
        return PaperNetwork(PaperConfig.from_dict(config))
    raise ValueError(f"its preset is {preset!r}")


def _take_extras(tensors: dict[str, Tensor]) -> Extras:
    """Remove what is not the network from the tensors of a file, and return it."""
    names = {name.rsplit(".", 1)[0] for name in tensors if name.startswith(EIGHT_BITS)}
    eight_bits = {}
    for name in names:
        description, weights = (tensors.pop(f"{name}.{ending}").numpy().tobytes() for ending in ENDINGS)
        eight_bits[name.removeprefix(EIGHT_BITS)] = description, weights
    basis = tensors.pop(QUERY_BASIS, None)
    return Extras(eight_bits, None if basis is None else basis.float())
