"""Checkpoints: safetensors in half precision, with the configuration in the header.

A checkpoint may hold parts of the network in eight bits too, as OpenVINO runs them on a processor: twice to
four times as fast. `model.training.quantize` adds them.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from model.retriever import Retriever, RetrieverConfig
from model.runtime import Converted

EIGHT_BITS, ENDINGS = "openvino.", ("xml", "bin")
DEFAULT_CHECKPOINT = Path(__file__).parent / "weights" / "accurate.safetensors"


class CheckpointError(ValueError):
    """The file is not a glyphseek checkpoint."""


@dataclass(frozen=True)
class Checkpoint:
    """A trained network.

    Attributes:
        retriever: The module in evaluation mode.
        version: Its identity, the SHA-256 of the file.
        card: Free-form notes of its training.
        eight_bits: Parts of it for OpenVINO, by the names the encoder gives them.
    """

    retriever: Retriever
    version: str
    card: dict[str, Any]
    eight_bits: dict[str, Converted]


def save(
    path: Path, retriever: Retriever, card: dict[str, Any], eight_bits: Mapping[str, Converted] | None = None
) -> None:
    """Write a network to `path`, which is replaced at once.

    Args:
        path: File to write.
        retriever: Network; floating-point tensors are stored as float16.
        card: JSON-able notes: preset, score threshold, recipe, figures.
        eight_bits: Parts of it for OpenVINO.
    """
    tensors = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous().cpu()
        for name, tensor in retriever.state_dict().items()
    }
    for name, parts in (eight_bits or {}).items():
        for ending, content in zip(ENDINGS, parts, strict=True):
            tensors[f"{EIGHT_BITS}{name}.{ending}"] = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    # One entry: the library writes several in random order, and the file's hash is the version.
    header = {"config": retriever.config.to_dict(), "card": card}
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
        eight_bits = _take_eight_bits(tensors)
        retriever = Retriever(RetrieverConfig.from_dict(header["config"]))
        retriever.load_state_dict(
            {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
        )
        card = header["card"]
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as exc:
        raise CheckpointError(f"{path.name} is not a glyphseek checkpoint: {exc}") from exc
    return Checkpoint(retriever.eval().requires_grad_(False), version, card, eight_bits)


def _take_eight_bits(tensors: dict[str, Tensor]) -> dict[str, Converted]:
    """Remove the parts for OpenVINO from the tensors of a file, and return them."""
    names = {name.rsplit(".", 1)[0] for name in tensors if name.startswith(EIGHT_BITS)}
    result = {}
    for name in names:
        description, weights = (tensors.pop(f"{name}.{ending}").numpy().tobytes() for ending in ENDINGS)
        result[name.removeprefix(EIGHT_BITS)] = description, weights
    return result


def parameter_count(retriever: torch.nn.Module) -> int:
    """Return the number of trained numbers of a network."""
    return sum(parameter.numel() for parameter in retriever.parameters())
