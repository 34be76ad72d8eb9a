import pytest
import torch

from model import boxes, transforms


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [
        (720, 1280, (736, 1280)),  # a video frame: 22.5 steps round up
        (4032, 3024, (1280, 960)),  # a phone, upright
        (1, 1, (1280, 1280)),  # a single pixel
        (30, 10000, (32, 1280)),  # a banner
    ],
)
def test_fit_gives_multiples_of_the_coarsest_stride(height: int, width: int, size: tuple[int, int]) -> None:
    assert transforms.fit(height, width, 1280) == size


def test_resize_averages_when_it_shrinks() -> None:
    checkers = torch.tensor([[0, 200], [200, 0]], dtype=torch.uint8).repeat(32, 32)[None].repeat(3, 1, 1)
    small = transforms.resize(checkers, 16, 16)
    assert small.dtype == torch.uint8
    assert (small.float() - 100).abs().max() <= 2


def test_crop_of_an_upright_box_is_that_part_of_the_picture() -> None:
    ramp = torch.arange(100.0).repeat(60, 1)[None].repeat(3, 1, 1)
    quad = boxes.boxes_to_quads(torch.tensor([[10.0, 5.0, 74.0, 53.0]]))
    crop = transforms.crop_quads(ramp, quad, 64)
    assert crop.shape == (1, 3, 48, 64)
    assert torch.allclose(crop[0, 0, 20], torch.arange(10.0, 74.0), atol=1e-3)


def test_crop_turns_a_slanted_word_upright() -> None:
    rotated = torch.tensor([[100.0, 100.0, 80.0, 40.0, 0.5]])
    quad = boxes.rotated_to_quads(rotated)[0]
    y, x = torch.meshgrid(torch.arange(200) + 0.5, torch.arange(200) + 0.5, indexing="ij")
    along = (quad[1] - quad[0]) / 80
    picture = ((torch.stack([x, y], -1) - quad[0]) @ along)[None].repeat(3, 1, 1)  # distance from the start
    crop = transforms.crop_quads(picture, quad[None], 80)[0, 0]
    assert torch.allclose(crop, (torch.arange(80) + 0.5).expand(48, 80), atol=1e-2)


def test_crop_undoes_perspective() -> None:
    quad = torch.tensor([[[20.0, 20.0], [90.0, 10.0], [90.0, 80.0], [20.0, 50.0]]])
    grid = transforms._perspective_grid(quad, 48, 64)[0]
    assert torch.allclose(grid[0, 0], quad[0, 0], atol=2.0)
    assert torch.allclose(grid[-1, -1], quad[0, 2], atol=2.0)
    # Under perspective the middle of the crop is the crossing of the diagonals, not the mean of the corners.
    crossing = torch.tensor([41.0, 38.0])  # of (20,20)-(90,80) with (90,10)-(20,50), by hand
    assert torch.allclose((grid[23, 31] + grid[24, 32]) / 2, crossing, atol=1.0)


def test_crop_is_differentiable_in_picture_and_quad() -> None:
    picture = torch.rand(3, 40, 40, requires_grad=True)
    quad = boxes.boxes_to_quads(torch.tensor([[5.0, 5.0, 30.0, 20.0]])).requires_grad_()
    transforms.crop_quads(picture, quad, 64).square().sum().backward()
    assert picture.grad is not None
    assert picture.grad.abs().sum() > 0
    assert quad.grad is not None
    assert quad.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("width", "height", "bucket"),
    [
        (1, 1, 64),  # nearly square words take the narrowest
        (10, 1, 320),  # nothing is wider than the widest
        (96, 48, 96),  # exactly
        (105, 48, 96),  # slightly squeezed rather than stretched
        (0, 0, 64),  # a degenerate quad
    ],
)
def test_crop_width_is_one_of_few(width: float, height: float, bucket: int) -> None:
    assert transforms.crop_width(width, height) == bucket


def test_pyramid_level_avoids_skipping_pixels() -> None:
    assert transforms.pyramid_level([10, 96, 97, 400, 1e6], levels=4) == [0, 0, 1, 3, 3]
