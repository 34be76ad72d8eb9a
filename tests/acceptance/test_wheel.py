"""What people get who install the wheel: everything that the service needs, and nothing else."""

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.acceptance.service import Service, environment

ROOT = Path(__file__).parents[2]
PACKAGES = ("app", "indexer", "model", "migrations")
MAX_BYTES = 90 * 2**20


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy: a build folder of an earlier day must not find its way in."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in (*PACKAGES, "tests", "docker"):
        if (ROOT / name).exists():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, source)
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(target),
        str(source),
    ]
    built = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = target.glob("*.whl")
    return path


def test_it_holds_the_packages_with_their_data_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
        facts = archive.namelist()
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file()]
    ours = {path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts}
    assert packed == ours
    networks = ("model/weights/accurate.safetensors", "model/weights/chinese.safetensors")
    for name in (*networks, "model/charsets/chinese.txt", "app/gallery/index.jsonl", "migrations/env.py"):
        assert name in packed
    assert {name.rpartition("/")[2] for name in facts} >= {"LICENSE", "NOTICE"}
    assert wheel.stat().st_size < MAX_BYTES


def test_it_serves_from_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    home, folder = tmp_path / "installed here", tmp_path / "empty"
    folder.mkdir()
    venv.create(home, symlinks=os.name != "nt")
    python = home / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps"]
    offline = ["--no-index", "--disable-pip-version-check", str(wheel)]
    subprocess.run([*install, *offline], env=environment(), check=True)
    # The packages that it needs are those of these tests; a line in a .pth file does not bring in our own
    # code, which other lines of other files do.
    paths = {"base": str(home), "platbase": str(home)}
    site = Path(sysconfig.get_path("purelib", "venv", vars=paths))
    (site / "needed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    names = "import app, indexer, model; print(app.__file__, indexer.__file__, model.__file__)"
    found = subprocess.run(
        [python, "-c", names], cwd=folder, env=environment(), capture_output=True, text=True
    )
    assert found.stdout.count(str(site)) == 3, found.stdout + found.stderr

    with Service(folder, [str(home / "bin" / "glyphseek"), "serve"]) as service:
        service.wait_until_ready()
        assert {path.name for path in folder.iterdir()} == {"var", "serve.log"}
        service.send(signal.SIGTERM)
        assert service.wait(20) == 0
