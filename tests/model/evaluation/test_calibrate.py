"""Choosing from which similarity on a match is likely right."""

import json
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from model.calibration import UNKNOWN
from model.evaluation.calibrate import LENGTHS, choose_cut, choose_cuts, main


def test_lowest_score_with_nine_in_ten_right() -> None:
    scores = np.array([0.9] * 9 + [0.8] + [0.7] * 2, np.float32)
    right = np.array([True] * 9 + [False] + [False] * 2)
    assert choose_cut(scores, right) == pytest.approx(0.8, abs=1e-4)
    assert choose_cut(scores, right, precision=0.95) == pytest.approx(0.9, abs=1e-4)


@pytest.mark.parametrize(
    ("scores", "right"),
    [
        ([], []),  # no word of this length
        ([0.9, 0.5], [False, True]),  # never right enough
        ([0.9, 0.9], [True, False]),  # of one score, half are wrong
    ],
)
def test_without_a_good_cut_nothing_is_let_through(scores: list[float], right: list[bool]) -> None:
    assert choose_cut(np.array(scores, np.float32), np.array(right, bool)) == 1


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1))
def test_what_reaches_the_cut_is_right_often_enough(pairs: list[tuple[int, bool]]) -> None:
    scores = np.array([score / 10 for score, _ in pairs], np.float32)
    right = np.array([is_right for _, is_right in pairs])
    cut = choose_cut(scores, right)
    reached = right[scores >= cut]
    assert cut == 1 or reached.mean() >= 0.9


def test_cuts_fall_with_the_length() -> None:
    words = ["abc", "abcd", "abcdefghijkl"]
    scores = np.array([[0.8, 0.2], [0.6, 0.5], [0.4, 0.1]], np.float32)
    right = np.array([[True, False], [True, False], [True, False]])
    cuts = choose_cuts(words, scores, right)
    assert len(cuts) == LENGTHS[-1]
    assert cuts[:2] == list(UNKNOWN.cuts[:2])
    # Where no word has so many letters, the cut is that of shorter ones.
    assert cuts[2:] == pytest.approx([0.8, *[0.6] * (LENGTHS[-1] - 4), 0.4], abs=1e-4)


def test_a_length_without_a_good_cut_lets_no_shorter_word_through_either() -> None:
    words = ["abc", "abcd", "abcde"]
    scores = np.array([[0.8, 0.2], [0.7, 0.7], [0.4, 0.1]], np.float32)
    right = np.array([[True, False], [True, False], [True, False]])
    cuts = choose_cuts(words, scores, right)
    assert cuts[:4] == [1] * 4
    assert cuts[4] == pytest.approx(0.4, abs=1e-4)


def test_chinese_words_of_two_characters_are_measured() -> None:
    words = ["咖", "咖啡", "咖啡馆"]
    scores = np.array([[0.9, 0.95], [0.6, 0.5], [0.4, 0.3]], np.float32)
    right = np.array([[True, False], [True, False], [True, False]])
    assert choose_cuts(words, scores, right, (2, 3)) == pytest.approx([UNKNOWN.cuts[0], 0.6, 0.4], abs=1e-4)


def test_command_needs_a_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path / "none.jsonl"), "--out", str(tmp_path / "out.json")])
    assert ended.value.code == 2
    assert "none.jsonl" in capsys.readouterr().err
    assert not (tmp_path / "out.json").exists()


def test_command_notes_what_it_measured(tmp_path: Path) -> None:
    gallery = Path(__file__).parents[3] / "app" / "gallery"
    lines = (gallery / "index.jsonl").read_text("utf-8").splitlines()[:3]
    photos = [json.loads(line) for line in lines]
    for photo in photos:
        (tmp_path / photo["image"]).write_bytes((gallery / photo["image"]).read_bytes())
    (tmp_path / "set.jsonl").write_text("\n".join(lines), "utf-8")
    out = tmp_path / "out.json"
    out.write_text('{"another": {"cuts": [0.5]}}')
    main([str(tmp_path / "set.jsonl"), "--out", str(out)])
    entries = json.loads(out.read_text())
    assert entries.pop("another") == {"cuts": [0.5]}
    (entry,) = entries.values()
    assert len(entry["cuts"]) == LENGTHS[-1]
    assert entry["photos"] == 3
    assert entry["precision"] >= 0.9
    assert 0 < entry["recall"] <= 1
