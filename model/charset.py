"""Which characters can be searched for, and how words become numbers."""

import unicodedata
from dataclasses import dataclass
from functools import cached_property

LATIN = "0123456789abcdefghijklmnopqrstuvwxyz"


class UnknownCharactersError(ValueError):
    """The word has no character that the network knows."""


@dataclass(frozen=True)
class Charset:
    """The characters of the text branch; number 0 stands for an unknown one."""

    characters: str = LATIN

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {character: number for number, character in enumerate(self.characters, start=1)}

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
            raise UnknownCharactersError(f"{word[:40]!r} has none of the characters {self.characters[:80]}")
        return numbers
