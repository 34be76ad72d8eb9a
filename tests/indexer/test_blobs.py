import errno
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from pathlib import Path

import pytest

from indexer.blobs import BlobStore, reporting_full_disk
from indexer.errors import NotFound, StorageFull

DATA = b"a photo"
SHA256 = hashlib.sha256(DATA).hexdigest()
OTHER = "0" * 64
HOUR = 3600.0


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "data folder")


def sweep(
    store: BlobStore,
    known: Callable[[str], bool] = lambda _: False,
    *,
    needed: Set[str] = frozenset(),
    database_id: str = "ours",
) -> int:
    @contextmanager
    def unneeded(sha256: str) -> Iterator[bool]:
        yield not known(sha256)

    return store.sweep(database_id, needed, unneeded, older_than_seconds=HOUR)


def put(store: BlobStore, sha256: str = SHA256, data: bytes = DATA) -> None:
    temporary = store.temporary()
    temporary.write_bytes(data)
    store.put(temporary, sha256)


def files(store_root: Path) -> set[str]:
    return {path.relative_to(store_root).as_posix() for path in store_root.rglob("*") if path.is_file()}


def age(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() - seconds,) * 2)


def test_put_and_open(store: BlobStore, tmp_path: Path) -> None:
    assert not store.exists(SHA256)
    put(store)
    put(store)  # the same bytes again
    assert store.exists(SHA256)
    with store.open(SHA256) as file:
        assert file.read() == DATA
    assert store.path(SHA256).read_bytes() == DATA
    name = f"photos/{SHA256[:2]}/{SHA256[2:4]}/{SHA256}"
    assert files(tmp_path / "data folder") == {name}
    assert BlobStore(tmp_path / "data folder").exists(SHA256)  # after a restart


def test_put_mends_a_damaged_file(store: BlobStore) -> None:
    put(store, data=b"zeros after a crash")
    put(store)
    assert store.path(SHA256).read_bytes() == DATA


def test_temporaries_differ_and_share_the_file_system(store: BlobStore, tmp_path: Path) -> None:
    first, second = store.temporary(), store.temporary()
    assert first != second
    assert first.parent.stat().st_dev == store.path(SHA256).parents[2].stat().st_dev


def test_file_and_folders_are_on_disk_before_put_returns(
    store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    real_fsync, real_replace = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        calls.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        real_fsync(descriptor)

    def replace(source: Path, target: Path) -> None:
        calls.append("rename")
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    temporary = store.temporary()
    temporary.write_bytes(DATA)
    store.put(temporary, SHA256)
    assert calls == [temporary.name, "rename", SHA256[2:4], SHA256[:2], "photos"]


def test_delete_is_idempotent(store: BlobStore, tmp_path: Path) -> None:
    put(store)
    store.write_thumbnail(SHA256, b"small")
    store.delete(SHA256)
    store.delete(SHA256)
    assert not files(tmp_path)
    with pytest.raises(NotFound):
        store.open(SHA256)


def test_open_file_outlives_its_deletion(store: BlobStore) -> None:
    put(store)
    with store.open(SHA256) as file:
        store.delete(SHA256)
        assert file.read() == DATA


def test_thumbnail_is_replaced_whole(store: BlobStore, tmp_path: Path) -> None:
    store.write_thumbnail(SHA256, b"first")
    store.write_thumbnail(SHA256, b"second")
    assert store.thumbnail_path(SHA256).read_bytes() == b"second"
    assert store.thumbnail_path(SHA256).suffix == ".jpg"
    assert len(files(tmp_path)) == 1


@pytest.mark.parametrize(
    "name",
    [
        "",
        "../../etc/passwd",
        "a" * 63,
        "a" * 65,
        "A" * 64,
        "g" * 64,
        "a" * 64 + "\n",
        "/" + "a" * 63,
        "٣" * 64,
    ],
)
def test_only_a_sha256_becomes_a_path(store: BlobStore, tmp_path: Path, name: str) -> None:
    temporary = store.temporary()
    temporary.write_bytes(DATA)
    for call in (store.path, store.thumbnail_path, store.exists, store.open, store.delete):
        with pytest.raises(ValueError, match="64"):
            call(name)
    with pytest.raises(ValueError, match="64"):
        store.put(temporary, name)
    with pytest.raises(ValueError, match="64"):
        store.write_thumbnail(name, b"")
    assert temporary.exists()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("call", ["fsync", "replace", "mkdir"])
def test_full_disk(store: BlobStore, monkeypatch: pytest.MonkeyPatch, call: str, code: int) -> None:
    temporary = store.temporary()
    temporary.write_bytes(DATA)
    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing(code))
        with pytest.raises(StorageFull, match="full"):
            store.put(temporary, SHA256)
        with pytest.raises(StorageFull):
            store.write_thumbnail(SHA256, b"small")
    assert not store.exists(SHA256)
    assert not store.thumbnail_path(SHA256).exists()
    assert list(temporary.parent.iterdir()) == [temporary]
    store.put(temporary, SHA256)  # there is space again
    assert store.path(SHA256).read_bytes() == DATA


def failing(code: int) -> object:
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


def test_full_disk_while_the_caller_writes() -> None:
    with pytest.raises(StorageFull), reporting_full_disk(), Path("/dev/full").open("wb", buffering=0) as file:
        file.write(DATA)


def test_other_failures_stay_what_they_are(store: BlobStore) -> None:
    with pytest.raises(FileNotFoundError):
        store.put(store.temporary(), SHA256)


def test_sweep_removes_only_what_is_old_and_unknown(store: BlobStore, tmp_path: Path) -> None:
    orphan, young = "1" * 64, "2" * 64
    for sha256 in (SHA256, orphan, young):
        put(store, sha256)
        store.write_thumbnail(sha256, b"small")
    left_over, in_use = store.temporary(), store.temporary()
    left_over.write_bytes(DATA)
    in_use.write_bytes(DATA)
    strange = store.path(SHA256).with_name("notes.txt")
    strange.write_text("not ours")
    old = [left_over, strange]
    old += [path(sha256) for sha256 in (SHA256, orphan) for path in (store.path, store.thumbnail_path)]
    for path in old:
        age(path, 2 * HOUR)

    assert sweep(store, lambda sha256: sha256 == SHA256, needed={SHA256}) == 3
    assert store.exists(SHA256)
    assert store.exists(young)
    assert store.thumbnail_path(young).exists()
    assert not store.exists(orphan)
    assert not store.thumbnail_path(orphan).exists()
    assert in_use.exists()
    assert not left_over.exists()
    assert strange.exists()
    assert sweep(store, lambda _: True) == 0


def test_sweep_asks_only_about_old_files(store: BlobStore) -> None:
    sweep(store)  # notes whose photos these are: of another database's nobody would be asked
    put(store)
    asked: list[str] = []
    sweep(store, lambda sha256: bool(asked.append(sha256)))
    assert asked == []


def test_sweep_spares_a_photo_put_while_it_waited_for_the_lock(store: BlobStore) -> None:
    sweep(store)  # notes whose photos these are
    put(store)
    age(store.path(SHA256), 2 * HOUR)

    def known(sha256: str) -> bool:
        put(store, sha256)  # an upload that held the lock
        return False

    assert sweep(store, known) == 0
    assert store.exists(SHA256)


def test_sweep_bears_files_that_vanish(store: BlobStore) -> None:
    sweep(store)
    put(store, OTHER)
    age(store.path(OTHER), 2 * HOUR)

    def known(sha256: str) -> bool:
        store.delete(sha256)
        return False

    assert sweep(store, known) == 0


def test_sweep_keeps_the_photos_of_another_database(
    store: BlobStore, caplog: pytest.LogCaptureFixture
) -> None:
    sweep(store)
    put(store)
    left_over = store.temporary()
    left_over.write_bytes(DATA)
    for path in (store.path(SHA256), left_over):
        age(path, 2 * HOUR)
    assert sweep(store, database_id="a new and empty one") == 1
    assert store.exists(SHA256)
    assert not left_over.exists()
    assert "belong to another database" in caplog.text
    assert sweep(store) == 1  # the first one is back, and does not need it
    assert not store.exists(SHA256)


def test_sweep_takes_photos_that_nobody_noted_for_those_of_the_database_that_knows_most(
    store: BlobStore,
) -> None:
    for sha256 in (SHA256, OTHER, "1" * 64):
        put(store, sha256)
        age(store.path(sha256), 2 * HOUR)
    assert sweep(store, needed={SHA256}, database_id="knows one of three") == 0
    assert sweep(store, needed={SHA256, OTHER}) == 1
    assert [store.exists(sha256) for sha256 in (SHA256, OTHER, "1" * 64)] == [True, True, False]
