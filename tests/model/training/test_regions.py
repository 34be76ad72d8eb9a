import numpy as np
import torch
from torch import Tensor

from model.charset import Charset
from model.detector import point_grid
from model.training.assignment import assign
from model.training.augment import View
from model.training.regions import Regions, cut, match, merge, neighbours, proposed_regions, true_regions

SIZE = 256


def view(*words: tuple[int, int, str | None, bool]) -> View:
    quads = [[[x, y], [x + 80, y], [x + 80, y + 24], [x, y + 24]] for x, y, _, _ in words]
    return View(
        np.zeros((SIZE, SIZE, 3), np.uint8),
        np.array(quads, np.float32).reshape(-1, 4, 2),
        [text for _, _, text, _ in words],
        np.array([ignore for *_, ignore in words], bool),
    )


def predictions(seen: View) -> Tensor:
    """Raw predictions that find every word of the view."""
    targets = assign(torch.from_numpy(seen.quads), torch.zeros(len(seen.quads), dtype=torch.bool), SIZE, SIZE)
    strides = point_grid(SIZE, SIZE)[1]
    raw = torch.full((len(strides), 7), -9.0)
    raw[:, 6] = 0
    raw[targets.positive, :2] = 9
    raw[:, 2:6] = (targets.sides / strides[:, None] / 2).clamp(min=1e-3).log()
    return raw


def test_true_regions_are_the_known_words_moved_a_little() -> None:
    seen = view(
        (10, 10, "One", False), (10, 60, None, False), (10, 110, "###", True), (10, 160, "two", False)
    )
    regions = true_regions(np.random.default_rng(0), seen, 0.05)
    assert regions.texts == ["One", "two"]
    moved = (regions.quads - torch.from_numpy(seen.quads[[0, 3]])).abs()
    assert 0 < moved.mean() < 0.1 * 24
    torch.testing.assert_close(
        true_regions(np.random.default_rng(0), seen, 0).quads, torch.from_numpy(seen.quads[[0, 3]])
    )


def test_proposals_say_a_word_or_clearly_nothing() -> None:
    found = view((10, 10, "", False), (10, 60, "", False), (10, 110, "", False), (150, 200, "", False))
    truth = view((12, 11, "One", False), (12, 61, None, False), (60, 110, "half", False))
    regions = proposed_regions(predictions(found), truth, min_score=0.3, limit=10)
    assert sorted(regions.texts) == ["", "One"]  # unknown text and half a word are left out
    assert regions.quads.shape == (2, 4, 2)


def wide(*places: tuple[int, int, int]) -> Tensor:
    return torch.tensor([[[x, y], [x + w, y], [x + w, y + 24], [x, y + 24]] for x, y, w in places]).float()


def test_a_proposal_of_several_words_says_all_of_them_in_their_order() -> None:
    truth = view((110, 12, "Shop", False), (10, 10, "Coffee", False), (10, 90, "so", False))
    regions = match(wide((8, 11, 184), (8, 11, 84)), truth)
    assert regions.texts == ["Coffee Shop", "Coffee"]


def test_neighbours_are_the_next_words_on_a_line() -> None:
    quads = wide((100, 12, 50), (10, 10, 80), (170, 90, 60), (10, 90, 60), (158, 11, 40))
    pairs = neighbours(Regions(quads, ["Shop", "Coffee", "away", "far", "now"]))
    assert pairs.texts == ["Shop now", "Coffee Shop"]
    assert pairs.quads[1].tolist() == [[10, 10], [150, 12], [150, 36], [10, 34]]
    assert neighbours(Regions(quads[:0], [])).texts == []


def test_what_is_cut_unknown_or_of_two_lines_is_left_out() -> None:
    truth = view(
        (10, 10, "Coffee", False), (100, 10, "Shop", False), (10, 60, "far", False), (100, 60, None, False)
    )
    two_lines = torch.tensor([[[8.0, 8], [92, 8], [92, 86], [8, 86]]])
    assert match(wide((8, 11, 132)), truth).texts == []  # half of "Shop"
    assert match(wide((8, 61, 174)), truth).texts == []  # nobody knows the second word
    assert match(two_lines, truth).texts == []


def test_proposals_of_a_view_without_words_are_false_alarms() -> None:
    regions = proposed_regions(predictions(view((10, 10, "", False))), view(), min_score=0.3, limit=10)
    assert regions.texts == [""]


def test_crops_are_grouped_by_width() -> None:
    image = torch.zeros(3, SIZE, SIZE)
    image[:, 10:34, 10:90] = 200
    quads = torch.from_numpy(view((10, 10, "", False), (10, 10, "", False), (0, 0, "", False)).quads)
    quads[2, 1:3, 0] = 200
    groups = cut(image, Regions(quads, ["One", "!!", ""]), Charset(), 48)
    assert [(tuple(crops.shape), texts) for crops, texts in groups] == [
        ((1, 3, 48, 128), ["One"]),
        ((1, 3, 48, 320), [""]),
    ]
    assert groups[0][0].mean() > 150
    merged = merge([*groups, *groups])
    assert [(tuple(crops.shape), texts) for crops, texts in merged] == [
        ((2, 3, 48, 128), ["One", "One"]),
        ((2, 3, 48, 320), ["", ""]),
    ]
