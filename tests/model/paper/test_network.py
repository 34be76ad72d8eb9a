import json
from typing import Any

import pytest
import torch

from model.embedder import stretch_words
from model.paper.network import PaperConfig, PaperNetwork


@pytest.fixture(scope="module")
def full() -> PaperNetwork:
    return PaperNetwork(PaperConfig())


def shapes(module: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(parameter.shape) for name, parameter in module.named_parameters()}


def lstm(inputs: int, hidden: int) -> dict[str, tuple[int, ...]]:
    """Shapes of a bidirectional LSTM."""
    one = {"weight_ih": (4 * hidden, inputs), "weight_hh": (4 * hidden, hidden)}
    one |= {"bias_ih": (4 * hidden,), "bias_hh": (4 * hidden,)}
    return {f"{name}_l0{way}": shape for way in ("", "_reverse") for name, shape in one.items()}


def test_image_s2sm_is_that_of_table_1(full: PaperNetwork) -> None:
    convolutions = {
        f"convolutions.{index}.{part}": shape
        for index in range(2)
        for part, shape in {"0.weight": (256, 256, 3, 3), "1.weight": (256,), "1.bias": (256,)}.items()
    }
    recurrent = {f"recurrent.{name}": shape for name, shape in lstm(256, 256).items()}
    last = {"project.weight": (128, 512), "project.bias": (128,)}
    assert shapes(full.image_branch) == convolutions | recurrent | last
    layers = [full.image_branch.convolutions[index] for index in range(2)]
    assert [(layer[0].stride, layer[1].num_groups) for layer in layers] == [((2, 1), 32)] * 2  # type: ignore[index]


def test_text_s2sm_is_that_of_table_1(full: PaperNetwork) -> None:
    recurrent = {f"recurrent.{name}": shape for name, shape in lstm(256, 256).items()}
    first = {"embedding.weight": (37, 256), "pointwise.weight": (256, 256), "pointwise.bias": (256,)}
    assert shapes(full.text_branch) == first | recurrent | {
        "project.weight": (128, 512),
        "project.bias": (128,),
    }


def test_the_head_has_one_tower_of_four_and_three_outputs(full: PaperNetwork) -> None:
    found = shapes(full.head)
    tower = {name: shape for name, shape in found.items() if name.startswith("tower.")}
    assert len(tower) == 12
    assert {shape for name, shape in tower.items() if name.endswith("0.weight")} == {(256, 256, 3, 3)}
    assert all(block[1].num_groups == 32 for block in full.head.tower)  # type: ignore[index]
    assert {name: found[f"{name}.weight"] for name in ("score", "sides", "centerness")} == {
        "score": (1, 256, 3, 3),
        "sides": (4, 256, 3, 3),
        "centerness": (1, 256, 3, 3),
    }


def test_pyramid_and_classifier(full: PaperNetwork) -> None:
    found = shapes(full.trunk.pyramid)
    lateral = [found[f"inner_blocks.{level}.0.weight"] for level in range(4)]
    assert lateral == [(256, channels, 1, 1) for channels in (256, 512, 1024, 2048)]
    coarse = [found[f"extra_blocks.{name}.weight"] for name in ("p6", "p7")]
    assert coarse == [(256, 256, 3, 3)] * 2
    assert not any("1.weight" in name for name in found)  # no norms
    assert full.classifier is not None
    assert shapes(full.classifier) == {"weight": (37, 128), "bias": (37,)}
    assert sum(parameter.numel() for parameter in full.parameters()) == 33_852_011


def test_regions_and_words_become_unit_vectors_of_one_space(full: PaperNetwork) -> None:
    images = torch.rand(1, 3, 64, 96) * 255
    with torch.inference_mode():
        maps, points = full(images)
        sequences = full.sequences(images, maps, [torch.tensor([[4.0, 4, 60, 20]])])
        regions = full.embed_sequences(sequences)
        words = full.embed_words(*stretch_words([[1, 2, 3], [4]], 15))
    assert points.shape == (1, 96 + 24 + 6 + 2 + 1, 6)
    assert sequences.shape == (1, 15, 128)
    assert regions.shape == (1, 1920)
    assert words.shape == (2, 1920)
    torch.testing.assert_close(torch.cat([regions, words]).norm(dim=1), torch.ones(3))


@pytest.mark.parametrize(
    ("width", "height", "level"),
    [(100, 20, 0), (112, 112, 1), (223, 223, 1), (224, 224, 2), (900, 900, 2), (111, 111, 0)],
)
def test_large_regions_come_from_coarse_maps(
    narrow: PaperNetwork, width: int, height: int, level: int
) -> None:
    """Level floor(4 + log2(sqrt(area) / 224)), from P2 to P4."""
    size = (1024, 1024)
    maps = [
        torch.full((1, 32, 1024 // stride, 1024 // stride), float(i)) for i, stride in enumerate((4, 8, 16))
    ]
    seen: list[torch.Tensor] = []
    narrow.image_branch.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    narrow.sequences(torch.zeros(1, 3, *size), maps, [torch.tensor([[50.0, 50, 50 + width, 50 + height]])])
    assert seen[0].shape == (1, 32, 4, 15)
    assert seen[0].unique().tolist() == [level]


def test_regions_are_sampled_once_in_each_of_4_x_15_cells(narrow: PaperNetwork) -> None:
    maps = [torch.zeros(1, 32, 64 // stride, 128 // stride) for stride in (4, 8, 16)]
    maps[0][:] = torch.arange(32.0) * 4  # the place of each column in pixels
    seen: list[torch.Tensor] = []
    narrow.image_branch.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    narrow.sequences(torch.zeros(1, 3, 64, 128), maps, [torch.tensor([[16.0, 8, 76, 24]])])
    torch.testing.assert_close(seen[0][0, 0, 2], 16 + (torch.arange(15) + 0.5) * 4)


@pytest.mark.parametrize("changes", [{}, {"target": "phoc"}, {"separate": True}])
def test_pictures_without_regions_give_none(changes: dict[str, Any]) -> None:
    network = PaperNetwork(PaperConfig(width=32, **changes))
    images = torch.rand(2, 3, 64, 64) * 255
    with torch.inference_mode():
        maps, _ = network(images)
        sequences = network.sequences(images, maps, [torch.zeros(0, 4)] * 2)
        embeddings = network.embed_sequences(sequences)
    assert sequences.shape == (0, 15, 16)
    assert embeddings.shape == (0, network.config.dimension)


def test_the_configuration_survives_json() -> None:
    config = PaperConfig(charset="abc", width=64, steps=9)
    assert PaperConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_without_reading_there_is_no_classifier() -> None:
    network = PaperNetwork(PaperConfig(width=32, reading=False))
    assert network.classifier is None
    assert not any(name.startswith("classifier") for name in network.state_dict())


def test_histograms_of_characters_stand_in_place_of_the_text_branch() -> None:
    network = PaperNetwork(PaperConfig(width=32, target="phoc"))
    assert network.text_branch is None
    images = torch.rand(1, 3, 64, 64) * 255
    maps, _ = network(images)
    sequences = network.sequences(images, maps, [torch.tensor([[4.0, 4, 60, 20], [4, 30, 60, 50]])])
    regions, words = network.embed_sequences(sequences), network.embed_words(*stretch_words([[1, 2]], 15))
    assert (regions.shape, words.shape) == ((2, 604), (1, 604))
    torch.testing.assert_close(torch.cat([regions, words]).norm(dim=1), torch.ones(3))
    assert (regions >= 0).all()


def test_a_trunk_of_its_own_sees_crops_and_not_the_picture_around_them() -> None:
    torch.manual_seed(0)
    network = PaperNetwork(PaperConfig(width=32, separate=True)).eval()
    images = torch.rand(2, 3, 64, 128) * 255
    regions = [torch.tensor([[8.0, 8, 72, 24]]), torch.tensor([[40.0, 24, 104, 40]])]
    images[1, :, 20:44, 36:108] = images[0, :, 4:28, 4:76]  # the same pixels, elsewhere
    seen: list[torch.Tensor] = []
    assert network.crop_trunk is not None
    network.crop_trunk.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.inference_mode():
        maps, _ = network(images)
        first, second = network.sequences(images, maps, regions)
        torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-4)
        other = network.sequences(images, [x * 0 for x in maps], regions)[0]
    torch.testing.assert_close(first, other)  # the maps of detection do not matter
    assert seen[0].shape == (2, 3, 64, 256)
    assert len(network.trunks()) == 2
