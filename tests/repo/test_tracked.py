"""What is in git: nothing large, no photos of others, no traces of how the project was made."""

import io
import re
import subprocess
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
WEIGHTS = "model/weights/"
MAX_BYTES, MAX_WEIGHTS_BYTES = 16 * 2**20, 40 * 10**6  # of a file, of a checkpoint
# Where pictures may be: all of them were drawn by the project itself.
PICTURES = ("app/gallery/", "app/page/", "tests/")
# What a reader of the project could not look up.
TRACES = re.compile(r"\bissues?\s+#?\d|\.\./shared\b|/work/\w|\b(?:this|last|next|earlier) session\b", re.I)


@pytest.fixture(scope="module")
def tracked() -> list[str]:
    """Files that git knows or would take in; an export without git has none to tell."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    return [name for name in names if name and (ROOT / name).is_file()]


def test_nothing_is_large_but_the_weights(tracked: list[str]) -> None:
    sizes = {name: (ROOT / name).stat().st_size for name in tracked}
    assert [name for name in tracked if not name.startswith(WEIGHTS) and sizes[name] > MAX_BYTES] == []
    weights = {name: size for name, size in sizes.items() if name.startswith(WEIGHTS)}
    assert weights
    assert max(weights.values()) < MAX_WEIGHTS_BYTES


def test_pictures_are_only_where_our_own_are(tracked: list[str]) -> None:
    kinds = set(Image.registered_extensions())
    pictures = [name for name in tracked if Path(name).suffix.lower() in kinds]
    assert len(pictures) >= 40
    assert [name for name in pictures if not name.startswith(PICTURES)] == []


def test_gallery_pictures_carry_no_camera_data(tracked: list[str]) -> None:
    """Drawn pictures have none; photos that somebody took have."""
    gallery = [name for name in tracked if name.startswith("app/gallery/") and not name.endswith(".jsonl")]
    assert gallery
    for name in gallery:
        with Image.open(io.BytesIO((ROOT / name).read_bytes())) as image:
            assert not image.getexif(), name


def test_no_archives_or_data_sets(tracked: list[str]) -> None:
    kinds = (".zip", ".gz", ".tar", ".7z", ".npz", ".npy", ".pt", ".pth", ".onnx", ".parquet", ".db")
    assert [name for name in tracked if name.endswith(kinds)] == []


def test_text_names_nothing_that_readers_do_not_have(tracked: list[str]) -> None:
    found = []
    for name in tracked:
        data = (ROOT / name).read_bytes()
        if (
            b"\0" in data
            or name.startswith("tests/benchmarks/")
            or name == f"tests/repo/{Path(__file__).name}"
        ):
            continue
        lines = enumerate(data.decode("utf-8").splitlines(), start=1)
        found += [f"{name}:{number}: {line.strip()}" for number, line in lines if TRACES.search(line)]
    assert found == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("as in issue 7", True),
        ("see Issues #12", True),
        ("../shared/data", True),
        ("../../shared/x", True),
        ("in an earlier session", True),
        ("session 1 of the database", False),
        ("no issue", False),
    ],
)
def test_traces_are_recognised(text: str, found: bool) -> None:
    assert bool(TRACES.search(text)) is found
