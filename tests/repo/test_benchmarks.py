"""The benchmarks go with the code that they measure."""

from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from indexer.sandbox import Sandbox
from model.encoder import Encoder
from tests.benchmarks import measuring, profile_stages, retrieval, search_scale

FOLDER = Path(measuring.__file__).parent
COMMANDS = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in ("measuring", "rapid"))
SIGN = FOLDER.parents[1] / "app" / "gallery" / "tin-coffee.jpg"


@pytest.mark.parametrize("name", COMMANDS)
def test_each_says_what_it_does(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = import_module(f"tests.benchmarks.{name}")
    monkeypatch.setattr("sys.argv", [name, "--help"])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 0
    assert command.__doc__.split()[0] in capsys.readouterr().out


def test_every_stage_of_the_network_is_timed() -> None:
    encoder, watch = Encoder(device="cpu", threads=1), profile_stages.StopWatch()
    picture = np.asarray(Image.open(SIGN).convert("RGB"))
    encoder.encode_images([picture])
    with Sandbox(max_pixels=10**8, processes=1) as sandbox, ExitStack() as stack:
        profile_stages._watch(watch, stack, sandbox, encoder)
        (found,) = encoder.encode_images([picture])
    assert "coffee" in {text.lower() for text in found.transcripts}
    stages = ("detect", "second look", "read", "embed")
    assert all(watch.seconds[f"{stage}: network"][0] > 0 for stage in stages)


def test_a_ranking_is_what_the_service_lists_whatever_the_scores() -> None:
    listed = [
        SimpleNamespace(image=SimpleNamespace(name=f"{name}.jpg"), score=score)
        for name, score in (("b", 0.65), ("a", 0.7), ("c", 0.1))
    ]
    service = SimpleNamespace(search=lambda *_, **__: SimpleNamespace(hits=listed, took_ms={"total": 1.0}))
    names = [f"test/{name}.jpg" for name in "abc"]
    row = retrieval._search(service, {"word": {"test/b.jpg"}}, names)  # type: ignore[arg-type]
    assert row["mAP all"] == 100


def test_half_of_what_is_asked_is_in_the_gallery() -> None:
    there = set(measuring.random_words(search_scale.FILLING_WORDS, seed=1))
    asked = search_scale._asked(200)
    assert len(asked) == 200
    assert 95 <= sum(word in there for word in asked) <= 105
