"""The command that trains all variants, with the narrowest network and a handful of pictures."""

import json
from pathlib import Path

import pytest

from model import checkpoint
from model.paper.network import PaperNetwork
from model.training import ablations, tiles
from model.training.ablations import VARIANTS, folder_of, main, table
from model.training.settings import parse

_FEW_STEPS = "--width 16 --size 64 --batch 1 --steps 1 --validate-every 0"
FEW_STEPS = _FEW_STEPS.split()


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    words = tmp_path / "list"
    words.write_text("\n".join(f"{first}a{second}e" for first in "bdfgklmnprst" for second in "dklmnprstvz"))
    monkeypatch.setattr(ablations, "ENGLISH", words)
    for name, value in {"TRAINING": 2, "HELD_BACK": 2, "KNOWN": 40, "QUERIES": 12}.items():
        monkeypatch.setattr(tiles, name, value)


def test_every_variant_differs_from_ours_in_what_its_row_says() -> None:
    ours = parse(["--preset", "paper", "--data", "d", "--out", "o"])
    changed = {
        name: {
            key: value
            for key, value in vars(
                parse(["--preset", "paper", "--data", "d", "--out", "o", *row.options])
            ).items()
            if value != getattr(ours, key)
        }
        for name, row in VARIANTS.items()
    }
    assert changed == {
        "baseline": {"pseudowords": False, "reading": False},
        "+ CTC": {"pseudowords": False},
        "+ WAS": {"reading": False},
        "+ WAS + CTC": {},
        "separated": {"separate": True},
        "detection + PHOC": {"target": "phoc"},
        "without S(P,P), S(Q,Q)": {"pairs": False},
        "ours": {},
    }


def test_variants_are_trained_once_and_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "runs"
    chosen = ["--only", "baseline", "+ WAS + CTC", "ours", "--seeds", "0", "1"]
    main([str(out), *chosen, *FEW_STEPS])
    first = capsys.readouterr().out
    networks = {
        name: checkpoint.load(folder_of(out, VARIANTS[name], 0) / "model.safetensors").network
        for name in ("baseline", "ours")
    }
    assert all(isinstance(network, PaperNetwork) for network in networks.values())
    assert [network.config.reading for network in networks.values()] == [False, True]
    results = json.loads((out / "ablations.json").read_text())
    assert results["ours"] == results["+ WAS + CTC"]
    assert [result["seed"] for result in results["baseline"]] == [0, 1]
    written = {path: path.stat().st_mtime_ns for path in out.rglob("model.safetensors")}
    assert len(written) == 4
    main([str(out), *chosen, *FEW_STEPS])
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert capsys.readouterr().out == first
    main([str(out), *chosen, "--side", "64", *FEW_STEPS])  # of drawn pictures the side is known
    assert capsys.readouterr().out == first


def test_another_question_is_measured_and_nothing_trained_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(tmp_path / "drawn"), "--only", "baseline", *FEW_STEPS])
    words = tmp_path / "drawn" / "words"
    data = ["--data", str(words), "--photo-sets", "train.jsonl", "--side", "64", "--only", "baseline"]
    out, tests = tmp_path / "runs", [words / "test.jsonl", words / "train.jsonl"]
    main([str(out), *data, "--test", str(tests[0]), *FEW_STEPS])
    (written,) = out.rglob("model.safetensors")
    trained = written.stat().st_mtime_ns
    main([str(out), *data, "--test", *map(str, tests), *FEW_STEPS])
    assert written.stat().st_mtime_ns == trained
    assert "train.jsonl" in capsys.readouterr().out
    with pytest.raises(SystemExit):  # before anything is trained
        main([str(tmp_path / "other"), *data, "--test", str(tmp_path / "nothing.jsonl"), *FEW_STEPS])
    assert not list((tmp_path / "other").rglob("model.safetensors"))


def test_a_second_stage_starts_from_the_first(tmp_path: Path) -> None:
    main([str(tmp_path / "first"), "--only", "separated", *FEW_STEPS])
    data = ["--data", str(tmp_path / "first" / "words"), "--photo-sets", "train.jsonl", "--side", "64"]
    data += ["--test", str(tmp_path / "first" / "words" / "test.jsonl"), "--after", str(tmp_path / "first")]
    main([str(tmp_path / "second"), "--only", "separated", *data, "--recipe", "adamw", *FEW_STEPS])
    path = folder_of(tmp_path / "second", VARIANTS["separated"], 0) / "model.safetensors"
    assert "separate-0" in checkpoint.load(path).card["training"]["init"]


def test_the_table_has_differences_beside_the_papers() -> None:
    def found(*seeds: tuple[float, float]) -> list[dict[str, object]]:
        return [
            {
                "seed": number,
                "mean_average_precision": {"a/t.jsonl": (first + second) / 2},
                "average_precisions": {"a/t.jsonl": {"cab": first, "bac": second}},
            }
            for number, (first, second) in enumerate(seeds)
        ]

    text = table({"baseline": found((0.4, 0.6), (0.5, 0.7)), "ours": found((0.6, 0.6), (0.8, 1.0))})
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    assert rows[0][2] == "mAP % t.jsonl"
    assert rows[2] == ["4", "baseline", "55.0 ± 5.0", "-20.0 ± 5.0", "88.0, 73.7, 63.0", "-2.7"]
    assert rows[3] == ["5", "ours", "75.0 ± 15.0", "+0.0 ± 0.0", "87.8, 70.2, 53.9", "+0.0"]


def test_every_data_set_counts_alike_in_the_difference() -> None:
    def found(first: float, second: float) -> list[dict[str, object]]:
        large, small = {f"w{number}": first for number in range(99)}, {"cab": second, "bac": second}
        return [
            {
                "seed": 0,
                "mean_average_precision": {"large": first, "small": second},
                "average_precisions": {"large": large, "small": small},
            }
        ]

    text = table({"baseline": found(0.8, 0.5), "ours": found(0.8, 0.9)})
    assert "-20.0 ± 0.0" in text.splitlines()[2]


def test_a_list_of_words_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ablations, "ENGLISH", tmp_path / "none")
    with pytest.raises(SystemExit) as caught:
        main([str(tmp_path / "runs")])
    assert caught.value.code == 2
    assert f"no list of words {tmp_path / 'none'}" in capsys.readouterr().err


def test_data_of_ones_own_needs_something_to_measure(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["runs", "--data", "photos"])
    assert caught.value.code == 2
    assert "--data and --test go together" in capsys.readouterr().err
