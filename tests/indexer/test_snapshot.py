import hashlib
import os
import pickle

import numpy as np
import pytest

from indexer.errors import SnapshotInvalid
from indexer.snapshot import SnapshotHeader, open_snapshot, write_snapshot

HEADER = SnapshotHeader(dimension=4, model_version="model", database_id="database", watermark=7)
PARTS = [
    (
        np.array([2**63 - 1, 5]),
        np.array([1, 2]),
        np.array([30, 31, 2**63 - 1]),
        np.arange(12, dtype=np.float16).reshape(3, 4),
    ),
    (np.array([6]), np.array([0]), np.empty(0, np.int64), np.empty((0, 4), np.float16)),  # no proposals
]


@pytest.fixture
def path(tmp_path):
    write_snapshot(tmp_path / "index", HEADER, PARTS)
    return tmp_path / "index"


def read(path, dimension=4, model_version="model", database_id="database"):
    with open_snapshot(path, dimension, model_version, database_id) as (watermark, parts):
        return watermark, list(parts)


def test_what_is_read_is_what_was_written(path):
    watermark, parts = read(path)
    assert watermark == 7
    assert len(parts) == len(PARTS)
    for part, expected in zip(parts, PARTS, strict=True):
        for array, wanted in zip(part, expected, strict=True):
            assert array.dtype == wanted.dtype
            np.testing.assert_array_equal(array, wanted)


def test_snapshot_of_nothing(tmp_path):
    write_snapshot(tmp_path / "index", HEADER, [])
    assert read(tmp_path / "index") == (7, [])


def test_any_changed_byte_is_noticed(path):
    content = path.read_bytes()
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        with pytest.raises(SnapshotInvalid):
            read(path)


def test_any_missing_or_added_end_is_noticed(path):
    content = path.read_bytes()
    for damaged in [content[:size] for size in range(len(content))] + [content + b"\0"]:
        path.write_bytes(damaged)
        with pytest.raises(SnapshotInvalid):
            read(path)


@pytest.mark.parametrize("other", [{"dimension": 2}, {"model_version": "other"}, {"database_id": "other"}])
def test_snapshot_of_something_else_is_refused(path, other):
    with pytest.raises(SnapshotInvalid, match="another"):
        read(path, **other)


@pytest.mark.parametrize(
    "body",
    [
        b"",  # no header
        b"no json\n",
        b"[]\n",  # no object
        b"{}\n",  # no watermark
        b'{"format": 99, "dimension": 4, "model_version": "model", "database_id": "database",'
        b' "watermark": 7}\n',  # a later format
    ],
)
def test_foreign_content_with_a_right_checksum_is_refused(path, body):
    path.write_bytes(path.read_bytes()[:8] + hashlib.sha256(body).digest() + body)
    with pytest.raises(SnapshotInvalid):
        read(path)


def test_shortened_content_with_a_right_checksum_is_refused(path):
    content = path.read_bytes()
    for missing in (1, 8, 40, 60):
        body = content[40:-missing]
        path.write_bytes(content[:8] + hashlib.sha256(body).digest() + body)
        with pytest.raises(SnapshotInvalid):
            read(path)


def test_missing_file_folder_and_pickle_are_refused(tmp_path):
    (tmp_path / "pickle").write_bytes(pickle.dumps({"watermark": 7}))
    for name in ("missing", "", "pickle"):
        with pytest.raises(SnapshotInvalid):
            read(tmp_path / name)


def test_failed_write_leaves_the_old_file_and_no_other(path, monkeypatch):
    def full(_descriptor):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        write_snapshot(path, HEADER._replace(watermark=8), PARTS)
    assert read(path)[0] == 7
    assert [file.name for file in path.parent.iterdir()] == ["index"]
