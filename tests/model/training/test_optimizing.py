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
    ("step", "progress", "expected"),
    [(0, 0, 1 / 3), (250, 0, 2 / 3), (500, 0.1, 1), (5000, 0.4, 0.1), (9000, 0.9, 0.01)],
)
def test_the_recipe_of_the_paper_goes_down_in_steps(step: int, progress: float, expected: float) -> None:
    assert rate("paper", 1.0, step, progress) == pytest.approx(expected)


@pytest.mark.parametrize(("recipe", "kind"), [("adamw", torch.optim.AdamW), ("paper", torch.optim.SGD)])
def test_recipes_have_their_optimisers(recipe: str, kind: type) -> None:
    assert isinstance(make_optimizer(recipe, 0.1, [{"params": [nn.Parameter(torch.ones(1))]}]), kind)


def test_an_unknown_recipe_is_refused() -> None:
    with pytest.raises(ValueError, match="recipe 'lion' is neither"):
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
