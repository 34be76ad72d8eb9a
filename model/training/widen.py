"""Gives a network of the preset `accurate` more characters, with what PP-OCRv6 small knows of them.

    python -m model.training.widen OUT.safetensors --charset chinese-3755 [--share 0.5]

Finding words stays as it is. The reader's classifier gets the published rows of the new characters; as these
belong to the published trunk, the reader goes back to it by `--share`. The text branch gets a place for each
new character, made from its row: what looks alike to the reader starts as alike. The characters that were
there start as what they were. What to train then stands in model/weights/README.md.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from model import checkpoint
from model.charset import CHARSETS, LATIN, Charset
from model.retriever import Retriever
from model.training.ppocr import OnnxWeights, fill_recognizer, model_file, published_characters

FULL = "full"  # all letters and digits that the reading trunk knows


def full_charset(published: Sequence[str]) -> str:
    """Return Latin and all published characters that stay what they are in folding: letters and digits."""
    known = dict.fromkeys(character for character in published if len(character) == 1)
    plain = (character for character in known if character.isalpha() or character.isdecimal())
    folded = (character for character in plain if Charset(character).fold(character))
    return "".join(dict.fromkeys([*LATIN, *folded]))


def widen(network: Retriever, charset: str, source: OnnxWeights, share: float = 0.5) -> Retriever:
    """Return a network that knows the characters of `charset`.

    Args:
        network: Of the preset `accurate`, whose charset is a part of the new one.
        charset: The new one.
        source: The published reading network.
        share: How far the reader goes back to the published one, in [0, 1].

    Raises:
        ValueError: `charset` lacks a character that the network has.
    """
    config = network.config
    if missing := set(config.charset) - set(charset):
        raise ValueError(f"the charset lacks {''.join(sorted(missing))}")
    published = published_characters(source)
    new = set(charset) & set(published) - set(config.characters)
    characters = config.characters + "".join(character for character in charset if character in new)
    wide = Retriever(replace(config, charset=charset, characters=characters))
    fill_recognizer(wide.recognizer, source, [published.index(character) for character in characters])
    rows = dict(zip(characters, wide.recognizer.classifier.weight[1:].detach().clone(), strict=True))
    state = wide.state_dict()
    for name, before in network.state_dict().items():
        if name == "text_branch.embedding.weight":
            places = [0, *(1 + charset.index(character) for character in config.charset)]
            state[name].copy_(grown(before, places, charset, rows))
        elif name.startswith("recognizer."):
            part = state[name][: len(before)] if before.ndim else state[name]  # the classifier is longer
            part.copy_(before.lerp(part, share) if before.is_floating_point() else before)
        else:
            state[name].copy_(before)
    return wide.eval()


def grown(before: Tensor, places: list[int], charset: str, rows: dict[str, Tensor]) -> Tensor:
    """Return the text branch's embedding for a larger charset.

    Args:
        before: Of the smaller one (1 + L, H); number 0 is the unknown character.
        places: The numbers (1 + L) that its characters have in the larger one, 0 first.
        charset: The larger one.
        rows: Of the reader's classifier (F,), by character; what has none starts as the mean of all.
    """
    mean = torch.stack(list(rows.values())).mean(0)
    looks = torch.stack([_look(character, rows, mean) for character in charset]) - mean  # N F
    old = looks[[place - 1 for place in places[1:]]]
    # A linear map that is right for the old ones; what they leave open is filled at random, as strongly.
    exact = torch.linalg.pinv(old) @ before[1:]
    generator = torch.Generator().manual_seed(0)
    chance = torch.linalg.qr(torch.randn(before.shape[1], looks.shape[1], generator=generator)).Q.T
    open_part = torch.eye(looks.shape[1]) - torch.linalg.pinv(old) @ old
    strength = before[1:].norm() / before[1:].shape[0] ** 0.5 / looks.norm(dim=1).mean()
    result = torch.cat([before[:1], looks @ exact + strength * looks @ open_part @ chance])
    result[places] = before
    return result


def _look(character: str, rows: dict[str, Tensor], mean: Tensor) -> Tensor:
    """Return the row of a character, of its capital too if it has one."""
    forms = [rows[form] for form in {character, character.upper()} if form in rows]
    return torch.stack(forms).mean(0) if forms else mean


def main() -> None:
    """Widen a checkpoint from the command line."""
    parser = argparse.ArgumentParser(description="Give a network more characters.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--init", type=Path, default=checkpoint.DEFAULT_CHECKPOINT, help="checkpoint")
    parser.add_argument("--charset", choices=[*CHARSETS, FULL], default="chinese-3755")
    parser.add_argument("--share", type=float, default=0.5, help="of the published reader, in [0, 1]")
    given = parser.parse_args()
    source = OnnxWeights(model_file("PP-OCRv6_rec_small.onnx"))
    charset = CHARSETS.get(given.charset) or full_charset(published_characters(source))
    try:
        loaded = checkpoint.load(given.init)
        network = widen(loaded.retriever, charset, source, given.share)
    except ValueError as exc:
        parser.error(str(exc))
    checkpoint.save(given.out, network, {**loaded.card, "charset": given.charset})


if __name__ == "__main__":
    main()
