import sys
from pathlib import Path

import numpy as np
import pytest
from rapidfuzz.distance import Levenshtein

from model.charset import CHARSETS, CHINESE, LATIN
from model.training import lexicon
from model.training.lexicon import by_frequency, choose_words, level_one, main, read_frequencies

CHARACTERS = CHINESE[:30]
FREQUENCIES = {a + b: 100 - number for number, a in enumerate(CHARACTERS) for b in CHARACTERS[:12] if a != b}


def test_the_charset_is_level_one_by_frequency() -> None:
    assert sorted(level_one()) == sorted(CHINESE)
    assert by_frequency("一二三", {"二三": 5, "三": 1, "丁": 9}) == "三二一"


def test_half_of_the_test_words_are_never_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lexicon, "ANY", 50)
    strange = {"咖啡x": 9, "abc": 9, "鑫鑫": 9, CHINESE[0]: 9, CHINESE[:9]: 9}
    charset = LATIN + CHARACTERS
    trained, held = choose_words(FREQUENCIES | strange, charset, np.random.default_rng(0), asked=20)
    assert not set(strange) & {*trained[:-50], *held}  # other characters, Latin alone, too short, too long
    assert len(set(held) & set(FREQUENCIES)) == len(held) >= 20
    assert 10 <= len(set(held) - set(trained[:-50])) < len(held)
    for word in held:  # something to be confused with
        assert any(Levenshtein.distance(word, other) == 1 for other in held if other != word)
    assert {len(word) for word in trained[-50:]} <= {1, 2, 3, 4, 5}
    assert len({character for word in trained[-50:] for character in word}) > 25  # rare ones, too


def test_command_writes_the_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lexicon, "ANY", 10)
    dictionary, out, characters = tmp_path / "dict.txt", tmp_path / "lists", tmp_path / "characters.txt"
    dictionary.write_text("".join(f"{word} {count} n\n" for word, count in FREQUENCIES.items()), "utf-8")
    assert read_frequencies(dictionary) == FREQUENCIES
    monkeypatch.setattr(sys, "argv", ["lexicon", str(dictionary), str(out), "--characters", str(characters)])
    main()
    words = (out / "words.txt").read_text("utf-8").split()
    assert set(words) & set((out / "held_back.txt").read_text("utf-8").split())
    assert set("".join(words)) <= set(CHARSETS["chinese-3755"])
    assert len(characters.read_text("utf-8").strip()) == 3755
