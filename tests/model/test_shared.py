import torch
from torch.nn import functional as F

from model import boxes, transforms
from model.shared import SharedMaps, seen_channels

H, W = 192, 256  # of the picture


def ramps(height: int, width: int) -> torch.Tensor:
    """A map (2, h, w) whose points say where they are, in pixels of the picture."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return torch.stack([x * W / width, y * H / height])


def maps(ratio: float = 1.0) -> SharedMaps:
    pyramid = [ramps(H // stride, W // stride) for stride in (4, 8, 16, 32)]
    return SharedMaps(ramps(H // 2, W // 2), pyramid, torch.tensor([ratio, ratio]))


def centres(quad: torch.Tensor, width: int) -> torch.Tensor:
    """Places (2, 12, width / 4) of the points of a crop, in pixels of the picture."""
    grid: torch.Tensor = transforms._perspective_grid(quad[None], 12, width // 4)
    return grid[0].permute(2, 0, 1)


def test_every_map_is_cut_out_along_the_word() -> None:
    quads = boxes.rotated_to_quads(torch.tensor([[120.0, 90, 80, 24, 0.5], [100.0, 100, 60, 30, -0.3]]))
    crops = maps().crop(quads, 64)
    assert crops.shape == (2, seen_channels(2, 2), 12, 16)
    for crop, quad in zip(crops, quads, strict=True):
        torch.testing.assert_close(crop[8:], centres(quad, 64), atol=1e-3, rtol=0)
        # Of the finer map, two rows and two columns stand for each.
        torch.testing.assert_close(crop[:8].view(2, 4, 12, 16).mean(1), centres(quad, 64), atol=1e-3, rtol=0)
        assert (crop[0] != crop[1]).all()


def test_large_words_are_cut_out_of_coarser_maps() -> None:
    found = maps()
    small = torch.tensor([[[20.0, 20], [100, 20], [100, 50], [20, 50]]])
    large = torch.tensor([[[20.0, 20], [200, 20], [200, 150], [20, 150]]])
    both = found.crop(torch.cat([large, small, large]), 64)
    torch.testing.assert_close(both[:1], found.crop(large, 64))
    torch.testing.assert_close(both[1:2], found.crop(small, 64))
    torch.testing.assert_close(both[2], both[0])
    torch.testing.assert_close(both[0, 8:], centres(large[0], 64), atol=1e-3, rtol=0)
    spoilt = SharedMaps(
        ramps(H // 2, W // 2), [ramps(H // 4, W // 4) * 0, *found._pyramid[1:]], torch.ones(2)
    )
    torch.testing.assert_close(spoilt.crop(large, 64), found.crop(large, 64))
    assert not torch.allclose(spoilt.crop(small, 64), found.crop(small, 64))


def test_quads_may_be_in_pixels_of_another_size() -> None:
    quads = torch.tensor([[[20.0, 20], [100, 20], [100, 50], [20, 50]]])
    torch.testing.assert_close(maps(2.0).crop(quads / 2, 64), maps().crop(quads, 64))


def test_gradients_reach_the_maps() -> None:
    first = torch.rand(1, 96, 128, requires_grad=True)
    pyramid = [torch.rand(1, H // stride, W // stride, requires_grad=True) for stride in (4, 8)]
    quads = torch.tensor([[[20.0, 20], [100, 20], [100, 50], [20, 50]]])
    F.relu(SharedMaps(first, pyramid, torch.ones(2)).crop(quads, 64)).sum().backward()  # type: ignore[no-untyped-call]
    for tensor, reached in ((first, True), (pyramid[0], True), (pyramid[1], False)):
        assert (tensor.grad is not None and bool(tensor.grad.any())) == reached
