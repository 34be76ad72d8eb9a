import pytest
import torch
from torch import nn

from model.training.optimizing import MovingAverage, make_optimizer, rate


def test_adamw_warms_up_and_falls_to_a_fiftieth() -> None:
    rates = [rate("adamw", 1.0, step, step / 1000) for step in range(1001)]
    assert rates[0] < 0.01
    assert max(rates) > 0.9
    assert rates[-1] == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("recipe", "total", "step", "expected"),
    [
        ("paper", 90_000, 0, 1 / 3),
        ("paper", 90_000, 250, 2 / 3),
        ("paper", 90_000, 500, 1),
        ("paper", 90_000, 29_999, 1),
        ("paper", 90_000, 30_000, 0.1),
        ("paper", 90_000, 59_999, 0.1),
        ("paper", 90_000, 60_000, 0.01),
        ("paper-tuning", 80_000, 39_999, 1),
        ("paper-tuning", 80_000, 40_000, 0.1),
        ("paper-tuning", 80_000, 79_999, 0.1),
    ],
)
def test_the_recipes_of_the_paper_go_down_in_steps(
    recipe: str, total: int, step: int, expected: float
) -> None:
    assert rate(recipe, 1.0, step, step / total) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("recipe", "kind"),
    [("adamw", torch.optim.AdamW), ("paper", torch.optim.SGD), ("paper-tuning", torch.optim.SGD)],
)
def test_recipes_have_their_optimisers(recipe: str, kind: type) -> None:
    assert isinstance(make_optimizer(recipe, 0.1, [{"params": [nn.Parameter(torch.ones(1))]}]), kind)


def test_momentum_and_weight_decay_are_those_of_the_paper() -> None:
    [group] = make_optimizer("paper", 0.1, [{"params": [nn.Parameter(torch.ones(1))]}]).param_groups
    assert (group["momentum"], group["weight_decay"]) == (0.9, 1e-4)


def test_an_unknown_recipe_is_refused() -> None:
    with pytest.raises(ValueError, match="recipe 'lion' is none of"):
        make_optimizer("lion", 0.1, [{"params": [nn.Parameter(torch.ones(1))]}])


def test_the_average_is_a_plain_mean_at_first() -> None:
    module = nn.BatchNorm1d(1)
    average = MovingAverage(module, window=4)
    for step, value in enumerate([1.0, 2, 3]):
        module.weight.data.fill_(value)
        module.num_batches_tracked.fill_(step)  # type: ignore[union-attr, operator]
        average.update(module, step)
    assert float(average.state["weight"]) == pytest.approx(2)
    assert int(average.state["num_batches_tracked"]) == 2
    module.weight.data.fill_(10)
    average.update(module, 100)
    assert float(average.state["weight"]) == pytest.approx(2 + 8 / 4)


def test_a_window_of_one_step_keeps_the_last_weights() -> None:
    module = nn.Linear(1, 1)
    average = MovingAverage(module, window=1)
    for step in range(3):
        module.weight.data.fill_(step)
        average.update(module, step)
    assert float(average.state["weight"]) == 2
