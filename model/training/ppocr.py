"""Start a network from the trunks of PP-OCRv6 small.

    python -m model.training.ppocr OUT.safetensors [--proposals FILE --similarity FILE]

The ONNX files are those in the wheel `rapidocr` 3.10.0 (extra `weights`). The two optional files hold the
first trained tensors of the proposal head and of the similarity.
"""

import argparse
import importlib.util
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from model import checkpoint
from model.backbone import Trunk
from model.recognizer import Recognizer
from model.retriever import Retriever, RetrieverConfig

# Letters beyond ASCII that Latin transcripts need; thousands of other classes would cost more than the trunk.
EXTRA_CHARACTERS = "‘’“”–—…•€£¥°©®™§±×÷½¼¾²³"
CARD = {
    "preset": "accurate",
    "min_score": 0.3,  # chosen on the validation photos
    "credit": "Trunks: PP-OCRv6 small, Baidu, from the wheel rapidocr 3.10.0",
    "licence": "Apache-2.0",
}
READING_CONVOLUTIONS = 54  # those of the trunk; three more belong to the neck


def model_file(name: str) -> Path:
    """Return the path of an ONNX file in the installed `rapidocr`.

    Raises:
        FileNotFoundError: the extra `weights` is not installed.
    """
    spec = importlib.util.find_spec("rapidocr")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("rapidocr is not installed: pip install 'glyphseek[weights]'")
    return Path(spec.origin).parent / "models" / name


class OnnxWeights:
    """Initializers of an ONNX graph, by name and by the order of the nodes that use them."""

    def __init__(self, path: Path) -> None:
        import onnx
        from onnx import numpy_helper

        model = onnx.load(str(path))
        self.nodes = list(model.graph.node)
        self.tensors = {
            item.name: torch.from_numpy(numpy_helper.to_array(item).copy())
            for item in model.graph.initializer
        }
        self.metadata = {item.key: item.value for item in model.metadata_props}

    def of(self, operation: str) -> list[list[Tensor]]:
        """Return the stored inputs of every node of this operation that has any, in graph order."""
        found = [
            [self.tensors[name] for name in node.input if name in self.tensors]
            for node in self.nodes
            if node.op_type == operation
        ]
        return [tensors for tensors in found if tensors]

    def convolutions(self) -> tuple[list[Tensor], list[Tensor | None]]:
        """Return weights and biases of all convolutions; a bias is the addition that follows, if any."""
        follows = {node.input[0]: node for node in self.nodes if node.op_type == "Add"}
        weights: list[Tensor] = []
        biases: list[Tensor | None] = []
        for node in self.nodes:
            if node.op_type == "Conv":
                weights.append(self.tensors[node.input[1]])
                add = follows.get(node.output[0])
                biases.append(self.tensors.get(add.input[1]) if add is not None else None)
        return weights, biases


def fill_trunk(trunk: Trunk, source: OnnxWeights, count: int) -> None:
    """Carry the first `count` convolutions of an ONNX graph over to a trunk."""
    weights, biases = source.convolutions()
    trunk.load_in_order(weights[:count], [bias for bias in biases[:count] if bias is not None])


def latin_rows(characters: list[str]) -> list[int]:
    """Return which of the published characters a Latin transcript keeps, in their order."""
    return [
        row
        for row, character in enumerate(characters)
        if len(character) == 1 and (ord(character) < 0x180 or character in EXTRA_CHARACTERS)
    ]


def published_characters(source: OnnxWeights) -> list[str]:
    """Return the characters of the reading file's classes 1, 2, ...; class 0 is the blank."""
    return [*source.metadata["character"].split("\n"), " "]


def fill_recognizer(recognizer: Recognizer, source: OnnxWeights, rows: list[int]) -> None:
    """Carry the reading network over: trunk, neck and the chosen rows of the classifier."""
    fill_trunk(recognizer.trunk, source, READING_CONVOLUTIONS)
    weights, _ = source.convolutions()
    module: Any
    for index, module in enumerate((recognizer.shortcut, recognizer.enter, recognizer.local)):
        module[0].weight.data.copy_(weights[READING_CONVOLUTIONS + index])
        scale, shift, mean, variance = source.of("BatchNormalization")[index]
        module[1].load_state_dict(
            {"weight": scale, "bias": shift, "running_mean": mean, "running_var": variance},
            strict=False,
        )
    _fill_mixing(recognizer, source)
    weight, bias = _classifier(source)
    chosen = torch.tensor([0, *(row + 1 for row in rows)])
    recognizer.classifier.weight.data.copy_(weight.T[chosen])
    recognizer.classifier.bias.data.copy_(bias[chosen])


def _fill_mixing(recognizer: Recognizer, source: OnnxWeights) -> None:
    """Fill linear layers and layer norms, which stand in the graph in the order of use."""
    dense = [tensors[0] for tensors in source.of("MatMul")][:-1]
    width = recognizer.norm.normalized_shape[0]
    scales = [t[0] for t in source.of("Mul") if t[0].shape == (width,)]
    additions = [
        t[0] for t in source.of("Add") if t[0].ndim == 1 and len(t[0]) in (width, 2 * width, 3 * width)
    ]
    shifts = iter(additions)
    gains = iter(scales)
    matrices = iter(dense)

    def norm(layer: nn.LayerNorm) -> None:
        layer.weight.data.copy_(next(gains))
        layer.bias.data.copy_(next(shifts))

    def linear(layer: nn.Linear) -> None:
        layer.weight.data.copy_(next(matrices).T)
        layer.bias.data.copy_(next(shifts))

    block: Any
    for block in recognizer.blocks:
        norm(block.norm_attention)
        linear(block.qkv)
        linear(block.project)
        norm(block.norm_perceptron)
        linear(block.expand)
        linear(block.reduce)
    norm(recognizer.norm)


def _classifier(source: OnnxWeights) -> tuple[Tensor, Tensor]:
    weight = source.of("MatMul")[-1][0]
    bias = next(t[0] for t in source.of("Add") if t[0].shape == (weight.shape[1],))
    return weight, bias


def build() -> Retriever:
    """Return a network of preset `accurate` whose two trunks are the published ones; the rest is chance."""
    detection = OnnxWeights(model_file("PP-OCRv6_det_small.onnx"))
    reading = OnnxWeights(model_file("PP-OCRv6_rec_small.onnx"))
    published = published_characters(reading)
    rows = latin_rows(published)
    retriever = Retriever(RetrieverConfig(characters="".join(published[row] for row in rows)))
    fill_trunk(retriever.detector.trunk, detection, 54)
    fill_recognizer(retriever.recognizer, reading, rows)
    return retriever.eval()


def main(arguments: list[str]) -> None:
    """Write a checkpoint from the command line."""
    parser = argparse.ArgumentParser(description="Start a network from the trunks of PP-OCRv6 small.")
    parser.add_argument("out", type=Path)
    options = parser.parse_args(arguments)
    checkpoint.save(options.out, build(), CARD)


if __name__ == "__main__":
    main(sys.argv[1:])
