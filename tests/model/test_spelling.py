from collections import defaultdict
from collections.abc import Sequence
from itertools import groupby, product

import numpy as np
import pytest
import torch
from torch import Tensor

from model import spelling
from model.charset import Charset
from model.spelling import Speller, Spellings, means

FOLD = Charset().fold


def spelled(characters: str, *steps: dict[str, float]) -> dict[str, float]:
    """Spell steps whose characters have these probabilities; the blank has the rest."""
    rows = [[1 - sum(step.values()), *(step.get(character, 0) for character in characters)] for step in steps]
    return dict(spell(Speller(characters, FOLD), torch.tensor(rows).clamp(min=1e-9).log()))


def spell(speller: Speller, logits: Tensor) -> Spellings:
    (steps,) = speller.steps(logits[None])
    return speller.spell(steps)


def all_paths(probabilities: Tensor, letters: str) -> dict[str, float]:
    """Add up the probabilities of all paths that say the same."""
    found: dict[str, float] = defaultdict(float)
    steps, count = probabilities.shape
    for path in product(range(count), repeat=steps):
        text = "".join(letters[place - 1] for place, _ in groupby(path) if place)
        found[text] += float(np.prod([probabilities[step, place] for step, place in enumerate(path)]))
    return found


def test_spellings_have_the_probabilities_of_all_their_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WIDTH": 1000, "KEPT": 1000, "UNLIKELY": 1e-30, "LEAST": 0.0}.items():
        monkeypatch.setattr(spelling, name, value)
    letters = "abc"
    for seed in range(5):
        logits = 2 * torch.randn(5, 1 + len(letters), generator=torch.Generator().manual_seed(seed))
        roots = {text: p**0.5 for text, p in all_paths(logits.double().softmax(1), letters).items()}
        found = spell(Speller(letters, FOLD), logits)
        assert dict(found) == pytest.approx(
            {text: root / sum(roots.values()) for text, root in roots.items()}
        )
        shares = [share for _, share in found]
        assert shares == sorted(shares, reverse=True)


def test_capitals_and_accents_are_one_letter_and_signs_are_silent() -> None:
    found = spelled("Aa\u00e9e-", {"A": 0.5, "a": 0.5}, {"-": 0.99}, {"\u00e9": 0.6, "e": 0.4})
    assert found == pytest.approx({"ae": 1.0})
    assert spelled("l-", {"l": 1}, {"-": 1}, {"l": 1}) == pytest.approx({"ll": 1.0})
    assert spelled("l-", {"l": 1}, {"l": 1}) == pytest.approx({"l": 1.0})


def test_another_character_of_the_same_letter_is_the_letter_once_more() -> None:
    assert spelled("LloydO", {"L": 1}, {"l": 1}, {"o": 1}, {}, {"y": 1}, {"d": 1}) == pytest.approx(
        {"lloyd": 1}
    )
    assert spelled("O0o", {"O": 1}, {"o": 1}) == pytest.approx({"oo": 1})
    assert spelled("oO", {"O": 0.6, "o": 0.4}, {}) == pytest.approx({"o": 1})


def test_a_character_may_be_several_letters() -> None:
    assert spelled("\u00bd2", {"\u00bd": 1}, {"2": 1}) == pytest.approx({"122": 1})
    assert spelled("\u00dfs", {"\u00df": 1}, {"\u00df": 1}, {"s": 1}) == pytest.approx({"sss": 1})


def test_what_is_sure_has_one_spelling_and_what_is_not_several() -> None:
    assert spelled("barx", {"b": 0.999}, {"a": 0.999}, {"r": 0.999}) == {"bar": 1.0}
    found = spelled("barx", {"b": 0.8, "x": 0.2}, {"a": 1}, {"r": 1})
    assert list(found) == ["bar", "xar"]
    assert found["bar"] == pytest.approx(2 / 3, abs=1e-3)  # square roots of 0.8 and 0.2
    unsure = dict.fromkeys("bdhklmn", 1 / 7)
    assert len(spelled("abdhklmn", unsure, unsure, unsure)) == spelling.KEPT


def test_where_nothing_was_read_nothing_is_spelled() -> None:
    assert spelled("ab", {}, {}) == {"": 1.0}


def test_each_word_is_embedded_once() -> None:
    asked: list[str] = []

    def encode(words: Sequence[str]) -> np.ndarray:
        asked.extend(words)
        return np.array([[len(word), 1] for word in words], np.float32).reshape(-1, 2)

    found = means([[("bar", 0.75), ("no", 0.25)], [("", 0.5), ("no", 0.5)], [("", 1.0)], []], encode, 2)
    assert asked == ["bar", "no"]
    assert found.tolist() == [[2.75, 1], [1, 0.5], [0, 0], [0, 0]]
    assert means([], encode, 2).shape == (0, 2)


def test_posteriors_keep_what_a_region_may_say_and_silence_once(monkeypatch: pytest.MonkeyPatch) -> None:
    speller, kept = Speller("Bbar\u00bd-", FOLD), []
    monkeypatch.setattr(spelling, "packed", lambda steps: bytes(len(kept.extend(steps) or steps)))
    rows = [{}, {"B": 0.5, "b": 0.25, "a": 0.1}, {}, {}, {"r": 0.6, "\u00bd": 0.3, "-": 0.05}, {}]
    logits = torch.tensor([[1 - sum(row.values()), *(row.get(c, 0) for c in "Bbar\u00bd-")] for row in rows])
    (steps,) = speller.steps(logits.clamp(min=1e-9).log()[None])
    assert speller.pack(steps) == bytes(5)
    assert [silent for silent, _ in kept] == pytest.approx([1, 0.15, 1, 0.1, 1])
    likely = [{letter: chance for letter, chance in letters.items() if chance > 0.01} for _, letters in kept]
    # \u00bd is several letters, the dash none.
    assert likely == [{}, pytest.approx({"b": 0.75, "a": 0.1}), {}, pytest.approx({"r": 0.6}), {}]
    assert speller.pack([]) == b""
