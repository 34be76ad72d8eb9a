import math

import numpy as np
import pytest
import torch

from model import boxes
from model.detector import point_grid
from model.refiner import Refiner
from model.training.assignment import assign
from model.training.augment import View
from model.training.refining import aligned, looks, moved, refining_loss

SIZE = 256


def view(*words: tuple[int, int, bool]) -> View:
    quads = [[[x, y], [x + 90, y], [x + 90, y + 24], [x, y + 24]] for x, y, _ in words]
    return View(
        np.zeros((SIZE, SIZE, 3), np.uint8),
        np.array(quads, np.float32).reshape(-1, 4, 2),
        ["word"] * len(words),
        np.array([ignore for *_, ignore in words], bool),
    )


def predictions(found: View) -> torch.Tensor:
    targets = assign(
        torch.from_numpy(found.quads), torch.zeros(len(found.quads), dtype=torch.bool), SIZE, SIZE
    )
    strides = point_grid(SIZE, SIZE)[1]
    raw = torch.full((len(strides), 7), -9.0)
    raw[:, 6] = 0
    raw[targets.positive, :2] = 9
    raw[:, 2:6] = (targets.sides / strides[:, None] / 2).clamp(min=1e-3).log()
    return raw


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_corners_follow_the_proposal(quarters: int) -> None:
    proposal = torch.tensor([[50.0, 60, 40, 20, 0.1]])
    corners = boxes.rotated_to_quads(proposal)
    torch.testing.assert_close(aligned(corners.roll(quarters, 1), proposal), corners)


def test_moved_words_stay_near() -> None:
    quads = torch.from_numpy(view((20, 30, False)).quads).expand(200, 4, 2)
    found = moved(np.random.default_rng(0), quads)
    assert found[:, 0].std() > 2
    assert (found[:, 2:4] > 0).all()
    overlap = boxes.pairwise_iou(
        boxes.quads_to_boxes(boxes.rotated_to_quads(found)), boxes.quads_to_boxes(quads[:1])
    )
    assert 0.5 < overlap.mean() < 0.9
    upwards = boxes.rotated_to_quads(torch.tensor([[50.0, 60, 80, 20, -math.pi / 2 + 0.02]]))
    assert moved(np.random.default_rng(0), upwards)[0, 4].abs() < 0.3


def test_looks_pair_proposals_with_words() -> None:
    truth = view((20, 30, False), (20, 100, True))
    raw = predictions(view((25, 31, False), (20, 100, False), (100, 200, False)))
    found = looks(np.random.default_rng(0), raw, truth)
    centres = found.rotated[:, 1]
    assert found.positive[centres < 60].all()
    assert not ((centres > 80) & (centres < 140)).any()  # inside the word to be ignored
    assert (centres > 180).any()
    assert not found.positive[centres > 180].any()
    expected = torch.from_numpy(truth.quads[:1]).expand(int(found.positive.sum()), 4, 2)
    torch.testing.assert_close(found.quads[found.positive], expected)


def test_looks_at_a_view_without_words_are_false_alarms() -> None:
    found = looks(np.random.default_rng(0), predictions(view((20, 30, False))), view())
    assert len(found.rotated) > 0
    assert not found.positive.any()


def test_the_refiner_learns_where_the_ink_ends() -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    seen = view((60, 80, False), (120, 180, False))
    ink = torch.zeros(1, 4, SIZE // 4, SIZE // 4)
    for quad in seen.quads / 4:
        x0, y0, x1, y1 = *quad.min(0).astype(int), *quad.max(0).astype(int)
        ink[:, :, y0:y1, x0:x1] = 1
    maps = [torch.nn.functional.avg_pool2d(ink, 2**level) for level in range(4)]
    refiner = Refiner(4, 16)
    optimizer = torch.optim.Adam(refiner.parameters(), 5e-3)
    losses = []
    for _ in range(60):
        parts = refining_loss(refiner, maps, [looks(rng, predictions(seen), seen)])
        optimizer.zero_grad()
        sum(parts.values()).backward()  # type: ignore[union-attr]
        optimizer.step()
        losses.append(parts["corners"].item())
    assert set(parts) == {"corners", "quality"}
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])


def test_without_words_only_the_quality_is_learned() -> None:
    maps = [torch.zeros(1, 4, SIZE // stride, SIZE // stride) for stride in (4, 8, 16, 32)]
    found = looks(np.random.default_rng(0), predictions(view((20, 30, False))), view())
    assert set(refining_loss(Refiner(4, 16), maps, [found])) == {"quality"}
    nothing = looks(np.random.default_rng(0), predictions(view()), view())
    assert refining_loss(Refiner(4, 16), maps, [nothing]) == {}
