"""Our trunks against the published ONNX files, run by onnxruntime."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from model.backbone import Trunk
from model.recognizer import Recognizer
from model.retriever import RetrieverConfig
from model.training import ppocr

GALLERY = Path(__file__).parents[3] / "app" / "gallery"


@pytest.fixture(scope="module")
def crops() -> torch.Tensor:
    """Word crops (3, 3, 48, 160) of the sample gallery, RGB in 0-255."""
    rows = [json.loads(line) for line in (GALLERY / "index.jsonl").read_text().splitlines()]
    words = [(row["image"], word["box"]) for row in rows[:3] for word in row["words"][:1]]
    pictures = [Image.open(GALLERY / name).convert("RGB").crop(box).resize((160, 48)) for name, box in words]
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float()


def run(name: str, image: torch.Tensor, outputs: list[str] | None = None) -> list[NDArray[np.float32]]:
    session = onnxruntime.InferenceSession(str(ppocr.model_file(name)))
    return session.run(outputs, {"x": image.numpy()})


def test_reading_trunk_equals_the_published_one(crops: torch.Tensor) -> None:
    source = ppocr.OnnxWeights(ppocr.model_file("PP-OCRv6_rec_small.onnx"))
    characters = ppocr.published_characters(source)
    config = RetrieverConfig()
    recognizer = Recognizer(config.reading_trunk, config.reading, config.heads, len(characters) + 1).eval()
    ppocr.fill_recognizer(recognizer, source, list(range(len(characters))))
    with torch.no_grad():
        ours = recognizer(crops)[1].softmax(-1).numpy()
    theirs = run("PP-OCRv6_rec_small.onnx", crops.flip(1) / 127.5 - 1)[0]
    assert theirs.max() > 0.9  # something was read
    assert np.abs(ours - theirs).max() <= 1e-3


def test_detection_trunk_equals_the_published_one(crops: torch.Tensor) -> None:
    source = ppocr.OnnxWeights(ppocr.model_file("PP-OCRv6_det_small.onnx"))
    trunk = Trunk(RetrieverConfig().detection_trunk).eval()
    ppocr.fill_trunk(trunk, source, 54)
    image = torch.cat([crops[:1], crops[1:2]], dim=2)  # 96 x 160
    with torch.no_grad():
        maps = trunk(image / 127.5 - 1)
    for ours, theirs in zip(maps, published_maps(image / 127.5 - 1), strict=True):
        assert np.abs(ours.numpy() - theirs).max() <= 1e-3 * max(1.0, np.abs(theirs).max())


def published_maps(image: torch.Tensor) -> list[NDArray[np.float32]]:
    """Return the inputs of the three strided depthwise convolutions, and of the neck's first one."""
    model = onnx.load(str(ppocr.model_file("PP-OCRv6_det_small.onnx")))
    sizes = {item.name: list(item.dims) for item in model.graph.initializer}
    names = []
    for node in (node for node in model.graph.node if node.op_type == "Conv"):
        strides = next(list(a.ints) for a in node.attribute if a.name == "strides")
        size = sizes[node.input[1]]
        if size[1] == 1 and strides == [2, 2]:
            names.append(node.input[0])
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    names.append(convolutions[54].input[0])
    model.graph.output.extend(onnx.helper.make_tensor_value_info(name, 1, None) for name in names)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(names, {"x": image.numpy()})


def test_latin_transcripts_keep_latin_letters() -> None:
    kept = ppocr.latin_rows(["a", "é", "日", "€", " ", "ab", "Ω"])
    assert kept == [0, 1, 3, 4]


def test_a_missing_extra_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match=r"glyphseek\[weights\]"):
        ppocr.model_file("x.onnx")
