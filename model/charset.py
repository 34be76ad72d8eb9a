"""Which characters can be searched for, and how words become numbers."""

import unicodedata
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

LATIN = "0123456789abcdefghijklmnopqrstuvwxyz"
# The 3755 characters of GB 2312, level 1, the most frequent first (`model.training.lexicon`).
CHINESE = (Path(__file__).parent / "charsets" / "chinese.txt").read_text("utf-8").strip()
# What a network is built for; there is one more, with all that the reading trunk knows (`training.widen`).
CHARSETS = {"latin": LATIN, "chinese-1019": LATIN + CHINESE[:1019], "chinese-3755": LATIN + CHINESE}
MOST_LISTED = 80  # characters in a message
DENSE = "\u2e80"  # from here on Unicode has the scripts of China, Japan and Korea


def is_dense(text: str) -> bool:
    """Tell whether a text is of characters that say as much as several letters, as those of Chinese do."""
    return all(character >= DENSE for character in text)


class UnknownCharactersError(ValueError):
    """The word has no character that the network knows."""


@dataclass(frozen=True)
class Charset:
    """The characters of the text branch; number 0 stands for an unknown one."""

    characters: str = LATIN

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {character: number for number, character in enumerate(self.characters, start=1)}

    def listed(self) -> str:
        """Return the characters as a message names them: all of them, or Latin and how many more."""
        if len(self.characters) <= MOST_LISTED:
            return self.characters
        first, others = self.characters[: len(LATIN)], self.characters[len(LATIN) :]
        return f"{first} and {len(others)} more such as {others[:5]}"

    def fold(self, text: str) -> str:
        """Return `text` in lower case, without accents, reduced to the characters of this set."""
        plain = unicodedata.normalize("NFKD", text).casefold()
        return "".join(character for character in plain if character in self._numbers)

    def encode(self, word: str) -> list[int]:
        """Return the numbers of the folded word's characters, each in [1, len(characters)].

        Raises:
            UnknownCharactersError: nothing is left of the word after folding.
        """
        numbers = [self._numbers[character] for character in self.fold(word)]
        if not numbers:
            raise UnknownCharactersError(f"{word[:40]!r} has none of the characters {self.listed()}")
        return numbers
