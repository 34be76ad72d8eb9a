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
from safetensors.torch import load_file
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
    "data": "ICDAR 2015 train, 900 boxed photos of MLT 2017, words of IIIT5K, SVT and ICDAR 2015, synthetic",
    "recipe": "75 min of proposals (focal, GIoU, angle, IoU), 13 min of similarity (Eq. 4), 2 CPU cores",
    "figures": "80 validation photos of ICDAR 2015: mAP 85.1 %, recall 91.1 % at IoU 0.5, 70.8 % at 0.7",
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


def build(proposals: Path | None = None, similarity: Path | None = None) -> Retriever:
    """Return a network of preset `accurate` that starts from the published trunks.

    Args:
        proposals: Trained detection tensors: trunk, pyramid and head.
        similarity: Trained tensors of the two branches.
    """
    detection = OnnxWeights(model_file("PP-OCRv6_det_small.onnx"))
    reading = OnnxWeights(model_file("PP-OCRv6_rec_small.onnx"))
    published = published_characters(reading)
    rows = latin_rows(published)
    retriever = Retriever(RetrieverConfig(characters="".join(published[row] for row in rows)))
    fill_trunk(retriever.detector.trunk, detection, 54)
    fill_recognizer(retriever.recognizer, reading, rows)
    if proposals is not None:
        load_proposals(retriever, load_file(proposals))
    if similarity is not None:
        load_similarity(retriever, load_file(similarity))
    return retriever.eval()


def load_proposals(retriever: Retriever, tensors: dict[str, Tensor]) -> None:
    """Fill the detector from tensors named by their first trainer."""
    names = {"lat": "pyramid.lateral", "sm": "pyramid.smooth", "cls_t": "head.score_tower"}
    names |= {"reg_t": "head.shape_tower", "cls": "head.score", "iou": "head.overlap", "reg": "head.shape"}
    state = retriever.detector.state_dict()
    trunk = sorted(name for name in tensors if name.startswith("trunk.") and name.endswith("weight"))
    retriever.detector.trunk.load_in_order(
        [tensors[name].float() for name in trunk],
        [tensors[name.replace("weight", "bias")].float() for name in trunk],
    )
    for name, tensor in tensors.items():
        head, _, rest = name.partition(".")
        if head == "scale":
            state["head.scale"].copy_(tensor)
        elif head != "trunk":
            state[f"{names[head]}.{rest}"].copy_(tensor)


def load_similarity(retriever: Retriever, tensors: dict[str, Tensor]) -> None:
    """Fill the two branches from tensors named by their first trainer."""
    names = {"e": "embedding", "l": "recurrent", "p": "project"}
    state = retriever.state_dict()
    for name, tensor in tensors.items():
        branch, layer, rest = name.split(".")
        middle = {"image": "convolution", "text": "pointwise"}[branch] if layer == "c" else names[layer]
        state[f"{branch}_branch.{middle}.{rest}"].copy_(
            tensor.view_as(state[f"{branch}_branch.{middle}.{rest}"])
        )


def main(arguments: list[str]) -> None:
    """Write a checkpoint from the command line."""
    parser = argparse.ArgumentParser(description="Start a network from the trunks of PP-OCRv6 small.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--proposals", type=Path)
    parser.add_argument("--similarity", type=Path)
    options = parser.parse_args(arguments)
    checkpoint.save(options.out, build(options.proposals, options.similarity), CARD)


if __name__ == "__main__":
    main(sys.argv[1:])
