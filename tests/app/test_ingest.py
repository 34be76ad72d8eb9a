import errno
import os
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from app import ingest
from app.client import Client, Photo
from app.ingest import find_photos
from indexer.errors import GlyphseekError
from tests.app.conftest import MAX_REQUEST_BYTES, Run, spell


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with photos and other files."""
    folder = tmp_path / "my [2024] photos"
    for name in ("b.jpg", "a.PNG", "deep/er/c.heic", "notes.txt", "film.mp4", ".jpg", "dir.png/d.webp"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def names(*paths: object) -> list[str]:
    return [photo.name for photo in find_photos([str(path) for path in paths])]


def test_folders_are_searched_for_pictures(folder: Path) -> None:
    assert names(folder) == ["a.PNG", "b.jpg", "c.heic", "d.webp"]


def test_the_data_folder_of_a_service_holds_no_photos_of_the_user(folder: Path) -> None:
    (folder / "deep" / "serve.lock").touch()
    assert names(folder) == ["a.PNG", "b.jpg", "d.webp"]
    assert names(folder / "deep" / "er") == ["c.heic"]  # asked for by name


def test_a_file_that_is_named_is_taken_whatever_it_is(folder: Path) -> None:
    assert names(folder / "notes.txt", folder / "b.jpg") == ["notes.txt", "b.jpg"]


def test_globs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert names("*.jpg") == ["b.jpg"]
    assert names("**/*.heic") == ["c.heic"]
    assert names("../my*/b.*", "a.*") == ["b.jpg", "a.PNG"]


@pytest.mark.parametrize("path", ["nowhere", "*.gif", ""])
def test_what_is_not_there_is_named(path: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(GlyphseekError, match="there is no file or folder"):
        find_photos(["b.jpg", path])


def test_zips_are_looked_into(tmp_path: Path) -> None:
    path = tmp_path / "all.ZIP"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("x/a.jpg", "../b.png", "notes.txt", "__MACOSX/a.jpg", "x/"):
            archive.writestr(name, name)
    photos = find_photos([str(path)])
    assert [photo.size_bytes for photo in photos] == [7, 8]
    found = {photo.name: photo.open().read() for photo in photos}
    assert found == {"a.jpg": b"x/a.jpg", "b.png": b"../b.png"}


def test_zips_are_not_unpacked_before_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "large.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(20):
            archive.writestr(f"{number}.png", bytes(10**7))
    tracemalloc.start()
    digests = {photo.sha256() for photo in find_photos([str(path)])}
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(digests) == 1
    assert most < 5 * 10**7  # of 200 MB


@pytest.mark.parametrize("damage", ["empty", "no zip", "cut off", "flipped", "rubbish within"])
def test_damaged_zips_are_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "bad.zip"
    text = " ".join(map(str, range(2000)))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jpg", text)
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(
        {
            "empty": b"",
            "no zip": b"hello",
            "cut off": whole[:middle],
            "flipped": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],  # wrong check sum
            "rubbish within": whole[:35] + b"\xff" * 500 + whole[535:],  # cannot be inflated
        }[damage]
    )
    with pytest.raises(GlyphseekError, match=r"bad\.zip cannot be unpacked"):
        [photo.sha256() for photo in find_photos([str(path)])]


class Steps:
    """Remembers the last report of each step."""

    def __init__(self) -> None:
        self.last: dict[str, tuple[int, int]] = {}

    def __call__(self, step: str, done: int, total: int) -> None:
        assert done <= total
        self.last[step] = (done, total)


def send(url: str, *photos: Photo, collection: str = "default") -> tuple[ingest.Report, Steps]:
    steps = Steps()
    with Client(url) as client:
        return ingest.ingest(client, photos, collection=collection, progress=steps), steps


def test_what_is_known_is_not_sent_again(service_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "BATCH_FILES", 2)
    photos = [Photo(f"{word}.png", spell(word)) for word in ("one", "two", "three")]
    report, steps = send(service_url, *photos)
    assert (report.found, report.sent, report.known, report.indexed, report.refused) == (3, 3, 0, 3, [])
    assert steps.last == {"check": (3, 3), "send": (3, 3), "index": (3, 3)}
    again, steps = send(service_url, *photos, Photo("four.png", spell("four")))
    assert (again.found, again.sent, again.known, again.indexed) == (4, 1, 3, 1)
    last, steps = send(service_url, *photos)
    assert (last.sent, last.known, last.indexed) == (0, 3, 0)
    assert "send" not in steps.last


def test_photos_are_sent_out_of_a_zip(service_url: str, tmp_path: Path) -> None:
    path = tmp_path / "two.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for word in ("one", "two"):
            archive.writestr(f"{word}.png", spell(word))
    report, _ = send(service_url, *find_photos([str(path)]))
    assert (report.found, report.indexed) == (2, 2)


def test_the_same_photo_twice_is_sent_once(service_url: str) -> None:
    report, _ = send(service_url, Photo("a.png", spell("a")), Photo("copy.png", spell("a")))
    assert (report.found, report.sent, report.known, report.indexed) == (2, 1, 1, 1)


def test_refused_photos_are_reported_and_hold_up_nothing(service_url: str) -> None:
    photos = (Photo("bad.png", b"text"), Photo("empty.png", b""), Photo("good.png", spell("good")))
    report, steps = send(service_url, *photos)
    assert report.indexed == 1
    assert [name for name, _ in report.refused] == ["bad.png", "empty.png"]
    assert all(reason for _, reason in report.refused)
    assert steps.last["index"] == (1, 1)


def test_photos_that_cannot_be_indexed_are_reported(
    service_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexer.queue.BACKOFF_SECONDS", ())  # no second attempt
    report, _ = send(service_url, Photo("a.png", spell("?")), Photo("b.png", spell("b")))
    assert report.indexed == 1
    assert [name for name, _ in report.refused] == ["a.png"]


def test_what_is_too_large_for_the_service_holds_up_nothing(service_url: str) -> None:
    large = bytes(MAX_REQUEST_BYTES + 1)
    small = [Photo(f"{word}.png", spell(word)) for word in ("one", "two", "three")]
    report, _ = send(service_url, small[0], Photo("large.png", large), *small[1:])
    assert (report.found, report.indexed) == (4, 3)
    assert [name for name, _ in report.refused] == ["large.png"]
    assert "2,000,000 bytes" in report.refused[0][1]


def test_another_collection_gets_the_photo_too(service_url: str) -> None:
    send(service_url, Photo("a.png", spell("a")))
    report, _ = send(service_url, Photo("a.png", spell("a")), collection="other")
    assert (report.sent, report.known, report.indexed) == (1, 0, 1)


def test_batches_are_limited_in_files_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "BATCH_FILES", 3)
    monkeypatch.setattr(ingest, "BATCH_BYTES", 10)
    sizes = [1, 1, 1, 1, 9, 2, 30, 1]
    batches = ingest._batches([Photo(str(size), b"x" * size) for size in sizes])
    assert [[photo.size_bytes for photo in batch] for batch in batches] == [[1, 1, 1], [1, 9], [2], [30], [1]]


def test_what_cannot_be_read_is_reported_and_holds_up_nothing(
    service_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = []
    for name in ("gone.png", "going.png", "there.png"):
        (tmp_path / name).write_bytes(spell(name[:-4]))
        photos.append(Photo(name, tmp_path / name))
    (tmp_path / "gone.png").unlink()
    batches = ingest._batches

    def remove(photos: list[Photo]) -> object:
        (tmp_path / "going.png").unlink()  # after its digest was taken, and before it is sent
        return batches(photos)

    monkeypatch.setattr(ingest, "_batches", remove)
    report, steps = send(service_url, *photos)
    assert (report.found, report.indexed) == (3, 1)
    assert [name for name, _ in report.refused] == ["gone.png", "going.png"]
    assert report.unread == photos[:2]
    assert all("No such file" in reason for _, reason in report.refused)
    assert steps.last["index"] == (1, 1)


def test_names_in_no_encoding_hold_up_nothing(service_url: str, tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.png")).write_bytes(spell("coffee"))
    (tmp_path / "tea.png").write_bytes(spell("tea"))
    report, _ = send(service_url, *find_photos([str(tmp_path)]))
    assert (report.indexed, report.refused) == (2, [])
    with Client(service_url) as client:
        assert sorted(image.name for image in client.images().items) == ["caf?.png", "tea.png"]


def test_what_cannot_be_looked_at_is_named_and_holds_up_nothing(
    run: Run, service_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("lost.png", "tea.png"):
        (tmp_path / name).write_bytes(spell(name[:3]))
    real = Path.is_file

    def is_file(path: Path) -> bool:
        if path.name == "lost.png":
            raise OSError(errno.ESTALE, "Stale file handle", str(path))
        return real(path)

    monkeypatch.setattr(Path, "is_file", is_file)
    status, out, _ = run("ingest", tmp_path, "--url", service_url)
    assert status == 1
    assert out.splitlines() == [
        "1 photos: 1 indexed now, 0 known before, 1 refused",
        f"refused: {tmp_path / 'lost.png'}: it cannot be read: Stale file handle",
    ]


def test_a_damaged_photo_in_a_zip_holds_up_nothing(service_url: str, tmp_path: Path) -> None:
    path = tmp_path / "two.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for word in ("one", "two"):
            archive.writestr(f"{word}.png", spell(word))
    path.write_bytes(path.read_bytes().replace(spell("one")[-20:], bytes(20)))
    report, _ = send(service_url, *find_photos([str(path)]))
    assert (report.found, report.indexed) == (2, 1)
    ((name, reason),) = report.refused
    assert name == "one.png"
    assert "cannot be unpacked" in reason


def test_nothing_to_send(service_url: str) -> None:
    report, _ = send(service_url)
    assert report == ingest.Report()
