import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from app import ingest
from app.client import Client, Photo, ServiceError
from app.watch import Outcome, Watcher
from indexer.errors import GlyphseekError
from tests.app.conftest import spell


@pytest.fixture
def client(service_url: str) -> Iterator[Client]:
    with Client(service_url, retries=0) as client:
        yield client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    write(folder / "deep" / "one.png", "one")
    write(folder / "two.png", "two")
    (folder / "notes.txt").write_text("no photo")
    return folder


def write(path: Path, word: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(spell(word))


def watcher(client: Client, folder: Path, *, delete: bool = True) -> Watcher:
    return Watcher(client, folder, collection="kept", delete=delete)


def look(watcher: Watcher, times: int = 2) -> Outcome:
    """Look as often; return the last outcome."""
    for _ in range(times):
        outcome = watcher.look(lambda *_: None)
    return outcome


def kept(client: Client) -> list[str]:
    return sorted(image.name for image in client.images().items)


def test_photos_are_sent_once_they_have_not_changed_for_a_while(client: Client, folder: Path) -> None:
    looking = watcher(client, folder)
    assert look(looking, 1) == Outcome()  # they may still be written
    sent = look(looking, 1).sent
    assert sent is not None
    assert (sent.found, sent.indexed) == (2, 2)
    assert kept(client) == ["one.png", "two.png"]
    write(folder / "three.png", "half of three")
    assert look(looking, 1) == Outcome()
    write(folder / "three.png", "three and more")
    assert look(looking, 1) == Outcome()
    sent = look(looking, 1).sent
    assert sent is not None
    assert sent.found == 1
    assert kept(client) == ["one.png", "three.png", "two.png"]


def test_nothing_is_asked_when_nothing_happens(
    client: Client, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking = watcher(client, folder)
    look(looking, 3)
    monkeypatch.setattr(client, "run", lambda _: pytest.fail("a request"))
    assert look(looking, 3) == Outcome()


def test_a_changed_file_takes_the_place_of_its_earlier_version(client: Client, folder: Path) -> None:
    looking = watcher(client, folder)
    look(looking)
    write(folder / "two.png", "otherwise")
    assert look(looking).deleted == ["two.png"]
    assert kept(client) == ["one.png", "two.png"]
    assert client.search("otherwise", min_score=0.9).total == 1


def test_what_leaves_the_folder_leaves_the_gallery(client: Client, folder: Path) -> None:
    looking = watcher(client, folder)
    look(looking)
    (folder / "two.png").unlink()
    assert look(looking, 1).deleted == []
    assert look(looking, 1).deleted == ["two.png"]
    (folder / "deep" / "one.png").rename(folder / "moved.png")
    assert look(looking, 3) == Outcome()
    assert kept(client) == ["one.png"]
    write(folder / "two.png", "two")  # there again
    assert look(looking).sent is not None
    assert kept(client) == ["one.png", "two.png"]


def test_what_left_while_nobody_was_watching(client: Client, folder: Path) -> None:
    look(watcher(client, folder))
    (folder / "two.png").unlink()
    assert look(watcher(client, folder)).deleted == ["two.png"]


def test_without_leave_nothing_is_deleted(client: Client, folder: Path) -> None:
    looking = watcher(client, folder, delete=False)
    look(looking)
    (folder / "two.png").unlink()
    assert look(looking, 3) == Outcome()
    assert kept(client) == ["one.png", "two.png"]


def test_photos_from_elsewhere_stay(client: Client, folder: Path, tmp_path: Path) -> None:
    client.upload([Photo("by hand.png", spell("hand"))], collection="kept")
    client.upload([Photo("two by hand.png", spell("two"))], collection="kept")
    write(tmp_path / "other" / "three.png", "three")
    look(watcher(client, tmp_path / "other"))
    looking = watcher(client, folder)
    look(looking)
    (folder / "two.png").unlink()
    assert look(looking).deleted == []
    assert kept(client) == ["by hand.png", "one.png", "three.png", "two by hand.png"]


def test_an_empty_folder_deletes_nothing(client: Client, folder: Path) -> None:
    """As a drive leaves that is not there."""
    looking = watcher(client, folder)
    look(looking)
    folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(GlyphseekError, match="is not there"):
        look(looking)
    folder.mkdir()
    assert "none is deleted" in str(look(looking).problem)
    assert kept(client) == ["one.png", "two.png"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_cannot_be_read_is_named_and_deletes_nothing_as_a_user(client: Client, folder: Path) -> None:
    looking = watcher(client, folder)
    look(looking)
    (folder / "deep").chmod(0)
    assert "deep cannot be read" in str(look(looking).problem)
    (folder / "deep").chmod(0o700)
    assert kept(client) == ["one.png", "two.png"]


def test_what_cannot_be_read_is_named_and_deletes_nothing(
    client: Client, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking = watcher(client, folder)
    look(looking)
    (folder / "two.png").unlink()
    write(folder / "new.png", "new")

    real = Photo.sha256

    def sha256(photo: Photo) -> str:
        if photo.name == "new.png":
            raise PermissionError(13, "Permission denied", "new.png")
        return real(photo)

    with monkeypatch.context() as patch:
        patch.setattr(Photo, "sha256", sha256)
        assert look(looking, 3).problem == "new.png cannot be read: Permission denied"
    assert kept(client) == ["one.png", "two.png"]
    assert look(looking, 1).deleted == ["two.png"]
    assert kept(client) == ["new.png", "one.png"]


def test_a_share_that_goes_away_is_named_and_deletes_nothing(
    client: Client, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking = watcher(client, folder)
    look(looking)
    real = Path.stat

    def stat(path: Path, **options: bool) -> os.stat_result:
        if path.name == "two.png":
            raise OSError(errno.ESTALE, "Stale file handle", "two.png")
        return real(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", stat)
        assert look(looking, 3).problem == "two.png cannot be read: Stale file handle"
    assert kept(client) == ["one.png", "two.png"]


def test_a_folder_whose_name_is_in_no_encoding(client: Client, tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    write(folder / os.fsdecode(b"th\xe9.png"), "tea")
    looking = watcher(client, folder)
    look(looking)
    assert kept(client) == ["th?.png"]
    (folder / os.fsdecode(b"th\xe9.png")).unlink()
    write(folder / "other.png", "other")
    look(looking, 4)
    assert kept(client) == ["other.png"]


def test_refused_files_are_reported_once(client: Client, folder: Path) -> None:
    (folder / "bad.jpg").write_bytes(b"no picture")
    looking = watcher(client, folder)
    sent = look(looking).sent
    assert sent is not None
    assert [name for name, _ in sent.refused] == ["bad.jpg"]
    assert look(looking, 3) == Outcome()


def test_what_vanishes_before_it_is_sent_is_sent_when_it_is_back(
    client: Client, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking = watcher(client, folder)
    look(looking, 1)
    batches = ingest._batches

    def remove(photos: list[Photo]) -> object:
        (folder / "two.png").unlink()
        return batches(photos)

    with monkeypatch.context() as patch:
        patch.setattr(ingest, "_batches", remove)
        sent = look(looking, 1).sent
    assert sent is not None
    assert [name for name, _ in sent.refused] == ["two.png"]
    assert kept(client) == ["one.png"]
    look(looking, 1)
    write(folder / "two.png", "two")
    look(looking, 2)
    assert kept(client) == ["one.png", "two.png"]


def test_a_service_that_was_away_gets_everything_later(
    client: Client, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking = watcher(client, folder)

    def away(_: object) -> None:
        raise ServiceError("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(client, "run", away)
        for _ in range(2):
            with pytest.raises(ServiceError):
                look(looking)
    sent = look(looking, 1).sent
    assert sent is not None
    assert sent.indexed == 2
