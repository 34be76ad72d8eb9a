"""What of a text counts when texts are compared: letters and digits, small, without accents."""

import unicodedata

from model.charset import is_dense


def fold(transcript: str) -> str:
    """Return what of a transcript counts when it is compared: letters and digits, small, without accents."""
    decomposed = unicodedata.normalize("NFKD", transcript).casefold()
    return "".join(character for character in decomposed if character.isalpha() or character.isdecimal())


def trigrams(folded: str) -> list[str]:
    """Return all runs of three characters of a folded transcript between `^` and `$`, each once, sorted.

    In Chinese and the like one or two characters are a word, so these are there too.
    """
    marked = f"^{folded}$" if folded else ""
    short = {run for length in (1, 2) for run in _runs(folded, length) if is_dense(run)}
    return sorted(set(_runs(marked, 3)) | short)


def _runs(text: str, length: int) -> list[str]:
    return [text[start : start + length] for start in range(len(text) - length + 1)]
