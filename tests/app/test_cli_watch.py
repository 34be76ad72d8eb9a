from pathlib import Path

import pytest

from app import cli_watch
from app.client import Client, ServiceError
from app.watch import Watcher
from tests.app.conftest import Run, spell


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "a [b].png").write_bytes(spell("coffee"))
    return folder


class Pauses:
    """Stands in for the pauses between looks: does one thing in each, and ends with Ctrl-C."""

    def __init__(self, *actions: object) -> None:
        self.actions = list(actions)

    def sleep(self, _: float) -> None:
        if not self.actions:
            raise KeyboardInterrupt
        action = self.actions.pop(0)
        if callable(action):
            action()


def test_a_folder_is_kept_until_ctrl_c(
    run: Run, service_url: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change() -> None:
        (folder / "a [b].png").unlink()
        (folder / "c.png").write_bytes(spell("hotel"))
        (folder / "bad.png").write_bytes(b"x")

    monkeypatch.setattr(cli_watch, "time", Pauses(None, change, None, None))
    status, out, err = run("watch", folder, "--delete", "--collection", "kept", "--url", service_url)
    assert status == 0
    lines = out.splitlines()
    assert lines[:3] == [
        f"watching {folder}; Ctrl-C ends it",
        "1 photos: 1 indexed now, 0 known before, 0 refused",
        "2 photos: 1 indexed now, 0 known before, 1 refused",
    ]
    assert lines[3].startswith("refused: bad.png: this is not a picture")
    assert lines[4:] == ["deleted: a [b].png"]
    assert "glyphseek:" not in err
    with Client(service_url) as client:
        assert [image.name for image in client.images(collection="kept").items] == ["c.png"]


@pytest.mark.parametrize(
    "error",
    [
        ServiceError("no answer", 0),
        ServiceError("no answer", 408),
        ServiceError("no answer", 400),
        OSError("no answer"),
    ],
    ids=["away", "too slow", "cut off", "no folder"],
)
def test_troubles_are_said_once_and_got_over(
    run: Run, service_url: str, folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    real, troubles = Watcher.look, 3

    def look(watcher: Watcher, progress: object) -> object:
        nonlocal troubles
        troubles -= 1
        if troubles >= 0:
            raise error
        return real(watcher, progress)  # type: ignore[arg-type]

    monkeypatch.setattr(Watcher, "look", look)
    monkeypatch.setattr(cli_watch, "time", Pauses(*[None] * 4))
    status, out, err = run("watch", folder, "--url", service_url)
    assert status == 0
    assert err.count("glyphseek: no answer; trying again") == 1
    assert "1 indexed now" in out


def test_what_the_service_will_never_take_ends_it(
    run: Run, service_url: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli_watch, "time", Pauses(*[None] * 4))
    status, _, err = run("watch", folder, "--collection", "x" * 101, "--url", service_url)
    assert status == 2
    assert "100 characters" in err
