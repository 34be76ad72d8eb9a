r"""Makes the lists that Chinese networks are built and trained with from a dictionary with frequencies.

    python -m model.training.lexicon jieba/dict.txt runs/chinese --charset chinese-3755

The dictionary has lines of a word, its frequency and maybe more, such as `dict.txt` of jieba (MIT). The
folder gets `words.txt` for training, one a line: words by frequency, and words of any characters, so that
rare ones are seen. `held_back.txt` is for test scenes: half of its words are trained on, half are not, and
each has the most similar one of the dictionary beside it, so that a ranking has something to confuse.
`--characters FILE` writes the characters of GB 2312, level 1, by frequency: `model/charsets/chinese.txt`.
"""

import argparse
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from model.charset import CHARSETS, LATIN
from model.training.tiles import most_similar

Rng = np.random.Generator

LONGEST = 8  # characters of a word
WORDS, ANY, ASKED = 40_000, 20_000, 200  # by frequency, of any characters, asked for in tests
ANY_LENGTHS = (1, 5)


def read_frequencies(path: Path) -> dict[str, int]:
    """Return the words of a dictionary with their frequencies.

    Raises:
        ValueError: a line is not a word and its frequency.
    """
    lines = (line.split() for line in path.read_text("utf-8").splitlines())
    return {parts[0]: int(parts[1]) for parts in lines if len(parts) in (2, 3)}


def level_one() -> str:
    """Return the 3755 characters of GB 2312, level 1, in its order."""
    pairs = (bytes([row, column]) for row in range(0xB0, 0xD8) for column in range(0xA1, 0xFF))
    return "".join(pair.decode("gb2312", "ignore") for pair in pairs)


def by_frequency(characters: str, frequencies: Mapping[str, int]) -> str:
    """Return the characters, those that occur most often in the words first."""
    counts: Counter[str] = Counter()
    for word, frequency in frequencies.items():
        for character in word:
            counts[character] += frequency
    return "".join(sorted(characters, key=lambda character: -counts[character]))


def choose_words(
    frequencies: Mapping[str, int], charset: str, rng: Rng, asked: int = ASKED
) -> tuple[list[str], list[str]]:
    """Return the words to train on, and those of the test scenes.

    Args:
        frequencies: Of the dictionary's words.
        charset: What they may consist of; words without a character beyond Latin are left out.
        rng: Source of chance.
        asked: How many words the test scenes are made for.
    """
    known, chinese = set(charset), sorted(set(charset) - set(LATIN))
    usable = [
        word
        for word in sorted(frequencies, key=lambda word: (-frequencies[word], word))
        if 1 < len(word) <= LONGEST and set(word) <= known and not set(word) <= set(LATIN)
    ]
    order = rng.permutation(min(len(usable), WORDS + asked))
    strange = {usable[index] for index in order[: asked // 2]}
    trained = [word for word in usable[:WORDS] if word not in strange]
    wanted = [*sorted(strange), *(trained[index] for index in rng.permutation(len(trained))[: asked // 2])]
    alike = {most_similar(word, usable) for word in wanted}
    made = [
        "".join(rng.choice(chinese, rng.integers(ANY_LENGTHS[0], ANY_LENGTHS[1] + 1))) for _ in range(ANY)
    ]
    return [*trained, *made], sorted({*wanted, *alike})


def main() -> None:
    """Write the lists from the command line."""
    parser = argparse.ArgumentParser(
        description="Make word lists of a dictionary.", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("dictionary", type=Path, help="lines of a word and its frequency")
    parser.add_argument("out", type=Path, help="folder to fill")
    parser.add_argument("--charset", choices=sorted(set(CHARSETS) - {"latin"}), default="chinese-3755")
    parser.add_argument("--seed", type=int, default=0, help="of everything")
    parser.add_argument("--characters", type=Path, help="also write the characters by frequency here")
    given = parser.parse_args()
    try:
        frequencies = read_frequencies(given.dictionary)
    except ValueError as exc:
        parser.error(str(exc))
    if given.characters:
        given.characters.write_text(by_frequency(level_one(), frequencies) + "\n", "utf-8")
    trained, held = choose_words(frequencies, CHARSETS[given.charset], np.random.default_rng(given.seed))
    given.out.mkdir(parents=True, exist_ok=True)
    for name, words in (("words.txt", trained), ("held_back.txt", held)):
        (given.out / name).write_text("\n".join(words) + "\n", "utf-8")


if __name__ == "__main__":
    main()
