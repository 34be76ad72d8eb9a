"""Small pictures full of plainly drawn words, from which a narrow network learns something in minutes.

What is held back shows words that training has seen, words that it has not, and to each the most similar
word of the list, so that a ranking has something to confuse. The same seed gives the same pictures.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import extractOne

from model.training.synthetic import contrasting_color

Rng = np.random.Generator

SIDE = 256  # of a picture, in pixels
TRAINING, HELD_BACK = 1000, 100  # pictures
KNOWN, QUERIES = 400, 60  # words that are trained on; words that are asked for, half of them known
LETTERS = (4, 7)  # of a word
HEIGHTS = (20, 32)  # of the letters' em, in pixels


def vocabulary(words: Sequence[str], seed: int) -> tuple[list[str], list[str]]:
    """Return the words that are trained on, and those that are held against them.

    Args:
        words: A long list; only plain words of a few letters are used.
        seed: Of the choice.
    """
    plain = (word.lower() for word in words if word.isascii() and word.isalpha())
    usable = list(dict.fromkeys(word for word in plain if LETTERS[0] <= len(word) <= LETTERS[1]))
    order = np.random.default_rng(seed).permutation(len(usable))
    known = [usable[index] for index in order[:KNOWN]]
    strange = [usable[index] for index in order[len(known) : len(known) + QUERIES // 2]]
    asked = known[: QUERIES // 2] + strange
    alike = [most_similar(word, usable) for word in asked]
    return known, sorted({*asked, *alike})


def most_similar(word: str, words: Sequence[str]) -> str:
    """Return the word of a list that is most similar to this one, other than itself."""
    best = extractOne(word, [other for other in words if other != word], scorer=Levenshtein.distance)
    return str(best[0])


def draw_tile(rng: Rng, words: Sequence[str]) -> tuple[Image.Image, list[dict[str, Any]]]:
    """Return a picture with rows of words and the words' boxes and texts, as JSON lines have them."""
    red, green, blue = (int(level) for level in rng.integers(0, 256, 3))
    ground = (red, green, blue)
    picture = Image.new("RGB", (SIDE, SIDE), ground)
    pen, shown = ImageDraw.Draw(picture), list[dict[str, Any]]()
    top = int(rng.integers(4, 12))
    while top < SIDE - HEIGHTS[1] - 8:
        left, height = int(rng.integers(4, 40)), int(rng.integers(*HEIGHTS))
        font = ImageFont.load_default(height)
        while True:
            word = words[int(rng.integers(len(words)))]
            box = pen.textbbox((left, top), word, font=font)
            if box[2] > SIDE - 4:
                break
            pen.text((left, top), word, fill=contrasting_color(rng, ground), font=font)
            shown.append({"box": list(box), "text": word})
            left = int(box[2]) + int(rng.integers(10, 40))
        top += height + int(rng.integers(6, 16))
    return picture.filter(ImageFilter.GaussianBlur(float(rng.uniform(0, 0.8)))), shown


def write_tiles(folder: Path, words: Sequence[str], seed: int) -> Iterator[int]:
    """Write `train.jsonl` and `test.jsonl` with their pictures; yields after each picture.

    Args:
        folder: To fill.
        words: A long list.
        seed: Of everything.
    """
    for part, (name, known, count) in enumerate(
        zip(("train", "test"), vocabulary(words, seed), (TRAINING, HELD_BACK), strict=True)
    ):
        (folder / name).mkdir(parents=True, exist_ok=True)
        lines = []
        for number in range(count):
            picture, shown = draw_tile(np.random.default_rng((seed, part, number)), known)
            picture.save(folder / name / f"{number}.png", compress_level=1)
            lines.append(json.dumps({"image": f"{name}/{number}.png", "words": shown}))
            yield number
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
