"""Averages the weights of two checkpoints, one of which was trained on from the other.

    python -m model.training.mix BEFORE.safetensors AFTER.safetensors OUT.safetensors --share 0.6

What fine-tuning brings is kept, and less of what it forgets. Source: Wortsman et al., CVPR 2022.
"""

import argparse
from pathlib import Path

from model import checkpoint
from model.checkpoint import Checkpoint


def mix(before: Checkpoint, after: Checkpoint, share: float) -> Checkpoint:
    """Return the second network with weights between the two.

    Args:
        before: First network.
        after: Second network, of the same configuration.
        share: Of the second network, in [0, 1].

    Raises:
        ValueError: the configurations differ, or the share is out of range.
    """
    if before.network.config != after.network.config:
        raise ValueError("the two networks have different configurations")
    if not 0 <= share <= 1:
        raise ValueError(f"the share must lie between 0 and 1: {share}")
    first, second = before.network.state_dict(), after.network.state_dict()
    mixed = {
        name: first[name].lerp(tensor, share) if tensor.is_floating_point() else tensor
        for name, tensor in second.items()
    }
    after.network.load_state_dict(mixed)
    return after


def main() -> None:
    """Mix from the command line."""
    parser = argparse.ArgumentParser(description="Average the weights of two checkpoints.")
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--share", type=float, default=0.5, help="of the second one, in [0, 1]")
    given = parser.parse_args()
    try:
        mixed = mix(checkpoint.load(given.before), checkpoint.load(given.after), given.share)
    except ValueError as exc:
        parser.error(str(exc))
    checkpoint.save(given.out, mixed.network, {**mixed.card, "mixed": given.share})


if __name__ == "__main__":
    main()
