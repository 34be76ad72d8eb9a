"""What of a text counts when texts are compared: letters and digits, small, without accents."""

import unicodedata


def fold(transcript: str) -> str:
    """Return what of a transcript counts when it is compared: letters and digits, small, without accents."""
    decomposed = unicodedata.normalize("NFKD", transcript).casefold()
    return "".join(character for character in decomposed if character.isalpha() or character.isdecimal())


def trigrams(folded: str) -> list[str]:
    """Return all runs of three characters of a folded transcript between `^` and `$`, each once, sorted."""
    marked = f"^{folded}$" if folded else ""
    return sorted({marked[start : start + 3] for start in range(len(marked) - 2)})
