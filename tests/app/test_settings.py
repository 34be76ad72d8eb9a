from pathlib import Path

import pytest
from pydantic import ValidationError

from app.settings import Settings
from model.shipped import shipped


def test_every_setting_has_a_default_that_works() -> None:
    settings = Settings()
    assert settings.data_dir == Path("var")
    assert settings.host == "127.0.0.1"
    assert settings.snapshot.is_relative_to(settings.data_dir)


def test_environment_sets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLYPHSEEK_LONGER_SIDES", "960, 1280,1600")
    monkeypatch.setenv("GLYPHSEEK_ALLOWED_HOSTS", "photos.example,localhost")
    settings = Settings()
    assert settings.longer_sides == (960, 1280, 1600)
    assert settings.allowed_hosts == ("photos.example", "localhost")


def test_a_shipped_checkpoint_is_chosen_by_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, path in shipped().items():
        monkeypatch.setenv("GLYPHSEEK_CHECKPOINT", name)
        assert Settings().checkpoint == path
    own = tmp_path / "own.safetensors"
    own.touch()
    monkeypatch.setenv("GLYPHSEEK_CHECKPOINT", str(own))
    assert Settings().checkpoint == own


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_an_empty_variable_is_as_none(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"GLYPHSEEK_{name.upper()}", "")
    assert Settings() == Settings.model_construct()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CHECKPOINT", "klingon"),  # neither shipped nor a file
        ("PORT", "x"),
        ("PORT", "70000"),
        ("LONGER_SIDES", "10"),  # no word could be seen
        ("PORT", "0"),  # nobody would know where it listens
        ("ALLOWED_HOSTS", "localhost,https://photos.example.org"),
        ("ALLOWED_HOSTS", "photos.example.org:8443"),
        ("ALLOWED_HOSTS", "[::1]"),
        ("THREADS", "0"),
        ("LOG_LEVEL", "LOUD"),
    ],
)
def test_nonsense_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"GLYPHSEEK_{name}", value)
    with pytest.raises(ValidationError):
        Settings()
