"""The examples of the README, run as they stand, on a running service with the shipped network."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pillow_heif
import pytest
from PIL import Image

from app.client import Client
from tests.acceptance.service import COMMAND, Service, environment

ROOT = Path(__file__).parents[2]
GALLERY = ROOT / "app" / "gallery"
README = (ROOT / "README.md").read_text("utf-8")
WRITTEN_URL = "http://127.0.0.1:8000"
SIGN = "tin-coffee.jpg"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def lines() -> list[str]:
    """Return the commands of the README that need the service and no bucket, one a line, without comments."""
    found = [re.sub(r"\s+#.*", "", line).strip() for block in blocks("sh") for line in block.splitlines()]
    return [line for line in found if line.startswith(("glyphseek ", "curl ")) and "s3://" not in line]


def test_what_is_to_be_made_is_in_the_makefile() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([\w-]+)", README, re.MULTILINE))
    assert {"demo", "test"} <= named <= targets


@dataclass
class Desk:
    """A folder with what the examples need: a command `glyphseek`, two photos and a home with pictures."""

    folder: Path
    service: Service

    def run(self, *command: str) -> str:
        """Run a command there and return what it wrote."""
        home, path = self.folder / "home", f"{self.folder / 'bin'}:{os.environ['PATH']}"
        variables = environment(url=self.service.url) | {"HOME": str(home), "PATH": path}
        variables["PYTHONPATH"] = str(ROOT)
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if " watch " in command[-1]:  # ends with Ctrl-C only
            assert process.stdout is not None
            assert any("known before" in line for line in process.stdout)
            process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
        # From here no address of the Internet is asked for, and others are refused.
        assert process.returncode == (" --urls " in command[-1]), f"{command[-1]}\n{output}"
        return output


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("desk")
    (folder / "bin").mkdir()
    program = folder / "bin" / "glyphseek"
    program.write_text("#!/bin/sh\nexec " + " ".join(f"'{part}'" for part in COMMAND) + ' "$@"\n')
    program.chmod(0o755)
    (folder / "home" / "Pictures").mkdir(parents=True)
    shutil.copy(GALLERY / "exit-green.jpg", folder / "home" / "Pictures")
    shutil.copy(GALLERY / SIGN, folder / "sign.jpg")
    with Image.open(GALLERY / "shop-harbour-coffee.jpg") as photo:
        pillow_heif.from_pillow(photo).save(folder / "shop.heic")
    (folder / "list.txt").write_text("http://127.0.0.1/sign.jpg\n")
    with Service(folder) as service:
        service.wait_until_ready()
        yield Desk(folder, service)


def test_commands(desk: Desk) -> None:
    commands = lines()
    assert commands[0] == "glyphseek serve"
    outputs = {
        line: desk.run("sh", "-c", "exec " + line.replace(WRITTEN_URL, desk.service.url))
        for line in commands[1:]
    }
    assert "1 photos: 1 indexed now" in outputs["glyphseek ingest ~/Pictures"]
    assert "private network" in outputs["glyphseek ingest --urls list.txt"]
    searched = next(output for line, output in outputs.items() if line.startswith("glyphseek search "))
    assert "exit-green.jpg" in searched
    assert '"hits"' in next(output for line, output in outputs.items() if "curl" in line and "q=" in line)
    with Client(desk.service.url) as client:
        assert {hit.image.name for hit in client.search("coffee").hits[:2]} == {"sign.jpg", "shop.heic"}


@pytest.mark.parametrize("script", blocks("python"))
def test_scripts(desk: Desk, script: str) -> None:
    output = desk.run(sys.executable, "-c", script.replace(WRITTEN_URL, desk.service.url))
    assert re.search(r"^0\.\d\d sign.jpg \['coffee'", output, re.MULTILINE | re.IGNORECASE)
