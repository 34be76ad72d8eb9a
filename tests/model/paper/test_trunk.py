from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from model.paper.trunk import STRIDES, PyramidTrunk, ResNet


def test_layers_are_those_of_torchvision_at_full_width() -> None:
    theirs = {
        name: tensor.shape
        for name, tensor in torchvision.models.resnet50().state_dict().items()
        if not name.startswith("fc.") and not name.endswith("num_batches_tracked")
    }
    assert {name: tensor.shape for name, tensor in ResNet(256).state_dict().items()} == theirs


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_imagenet_weights_give_the_features_of_torchvision(tmp_path: Path, ending: str) -> None:
    torch.manual_seed(0)
    theirs = torchvision.models.resnet50().eval()
    path = tmp_path / f"resnet50.{ending}"
    state = theirs.state_dict()
    torch.save(state, path) if ending == "pth" else save_file(state, path)
    ours = ResNet(256)
    ours.load_imagenet(path)
    rgb = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        x = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(rgb))))
        for layer, found in zip(
            (theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4), ours(rgb.flip(1)), strict=True
        ):
            x = layer(x)
            torch.testing.assert_close(found, x, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("content", [None, b"", b"not weights"])
def test_other_files_are_refused(tmp_path: Path, content: bytes | None) -> None:
    for ending in ("pth", "safetensors"):
        path = tmp_path / f"broken.{ending}"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ValueError, match=r"broken.* does not hold the weights of a ResNet-50"):
            ResNet(32).load_imagenet(path)


def test_weights_of_another_width_are_refused(tmp_path: Path) -> None:
    torch.save(ResNet(64).state_dict(), tmp_path / "wide.pth")
    with pytest.raises(ValueError, match="size mismatch"):
        ResNet(32).load_imagenet(tmp_path / "wide.pth")


def test_stem_res2_and_batch_norms_are_frozen() -> None:
    trunk = PyramidTrunk(32).train()
    frozen = {name for name, parameter in trunk.named_parameters() if not parameter.requires_grad}
    assert {name.removeprefix("resnet.").split(".")[0] for name in frozen} == {"conv1", "layer1"}
    assert not any(
        "bn" in name or "downsample.1" in name for name, _ in trunk.named_parameters()
    )  # constants
    before = {name: tensor.clone() for name, tensor in trunk.state_dict().items()}
    trunk(torch.rand(2, 3, 64, 64))
    torch.testing.assert_close(trunk.state_dict(), before)


@pytest.mark.parametrize(("height", "width"), [(64, 96), (32, 32), (160, 224)])
def test_maps_halve_from_level_to_level(height: int, width: int) -> None:
    with torch.inference_mode():
        maps = PyramidTrunk(32)(torch.rand(1, 3, height, width) * 255)
    sizes = [(-(-height // stride), -(-width // stride)) for stride in STRIDES]
    assert [tuple(x.shape) for x in maps] == [(1, 32, *size) for size in sizes]
    assert all(torch.isfinite(x).all() for x in maps)


def test_colours_are_taken_as_blue_green_red_with_the_statistics_of_imagenet() -> None:
    trunk = PyramidTrunk(32)
    seen = []
    trunk.resnet.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    trunk(torch.tensor([255.0, 127.5, 0.0]).view(1, 3, 1, 1).expand(1, 3, 32, 32))
    expected = [-103.53 / 57.375, (127.5 - 116.28) / 57.12, (255 - 123.675) / 58.395]
    torch.testing.assert_close(seen[0][0, :, 5, 5], torch.tensor(expected))
