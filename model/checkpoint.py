"""Checkpoints: safetensors in half precision, with the configuration in the header."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from model.retriever import Retriever, RetrieverConfig

DEFAULT_CHECKPOINT = Path(__file__).parent / "weights" / "accurate.safetensors"


class CheckpointError(ValueError):
    """The file is not a glyphseek checkpoint."""


@dataclass(frozen=True)
class Checkpoint:
    """A trained network: the module in evaluation mode, its identity, and free-form notes of its training."""

    retriever: Retriever
    version: str
    card: dict[str, Any]


def save(path: Path, retriever: Retriever, card: dict[str, Any]) -> None:
    """Write a network to `path`, which is replaced at once.

    Args:
        path: File to write.
        retriever: Network; floating-point tensors are stored as float16.
        card: JSON-able notes: preset, score threshold, recipe, figures.
    """
    tensors = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous().cpu()
        for name, tensor in retriever.state_dict().items()
    }
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
        retriever = Retriever(RetrieverConfig.from_dict(header["config"]))
        retriever.load_state_dict(
            {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
        )
        card = header["card"]
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as exc:
        raise CheckpointError(f"{path.name} is not a glyphseek checkpoint: {exc}") from exc
    return Checkpoint(retriever.eval().requires_grad_(False), version, card)


def parameter_count(retriever: torch.nn.Module) -> int:
    """Return the number of trained numbers of a network."""
    return sum(parameter.numel() for parameter in retriever.parameters())
