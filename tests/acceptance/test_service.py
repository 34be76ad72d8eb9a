"""What a person does with the service, and what befalls it, with the shipped network on real pictures."""

import json
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from app.client import Client
from app.ingest import Report, find_photos, ingest
from app.schemas import SearchAnswer
from model.boxes import pairwise_iou
from tests.acceptance.service import COMMAND, STOP_SECONDS, Service, environment, free_port

GALLERY = Path(__file__).parents[2] / "app" / "gallery"
PHOTOS = ("tin-coffee.jpg", "exit-green.jpg", "shop-harbour-coffee.jpg")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "my photos & words"
    folder.mkdir()
    return folder


def put_in(service: Service) -> Report:
    with Client(service.url) as client:
        photos = find_photos([str(GALLERY / name) for name in PHOTOS])
        return ingest(client, photos, collection="default", progress=lambda *_: None)


def look_for(service: Service, word: str) -> SearchAnswer:
    """Search, when the index holds all photos: it follows the database within moments."""
    with Client(service.url) as client:
        for _ in range(100):
            if (answer := client.search(word)).total == len(PHOTOS):
                break
            time.sleep(0.05)
        return answer


def ranking(answer: SearchAnswer) -> list[tuple[str, float, list[list[float]]]]:
    """Return names, scores and boxes; sums in another order change the seventh digit of a score."""
    return [
        (hit.image.name, pytest.approx(hit.score, abs=1e-5), [box.box for box in hit.boxes])
        for hit in answer.hits
    ]


def truth(name: str, word: str) -> list[list[float]]:
    """Return the boxes of a word in a gallery photo."""
    photos = map(json.loads, (GALLERY / "index.jsonl").read_text().splitlines())
    words = next(photo["words"] for photo in photos if photo["image"] == name)
    return [entry["box"] for entry in words if entry["text"].lower() == word]


def run(
    folder: Path, *arguments: str, timeout: float = 60, **variables: object
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def test_photos_are_found_and_outlive_every_kind_of_end(folder: Path) -> None:
    with Service(folder) as service:
        service.wait_until_ready()
        assert put_in(service).indexed == len(PHOTOS)
        again = put_in(service)
        assert (again.sent, again.known) == (0, len(PHOTOS))

        found = look_for(service, "coffee")
        assert found.total == len(PHOTOS)
        assert {hit.image.name for hit in found.hits[:2]} == {"tin-coffee.jpg", "shop-harbour-coffee.jpg"}
        for hit in found.hits[:2]:
            boxes = torch.tensor([hit.boxes[0].box]), torch.tensor(truth(hit.image.name, "coffee"))
            assert pairwise_iou(*boxes).max() >= 0.5
            assert hit.score > 0.5 > found.hits[2].score

        (worker,), (api,) = service.part("worker"), service.part("api")
        assert worker.nice() > api.nice()  # a search goes before a photo

        second = run(folder, "serve", port=free_port())
        assert second.returncode == 2
        assert second.stderr.startswith("glyphseek: another glyphseek is using the data folder")
        assert second.stderr.count("\n") == 1
        assert service.running

        service.send(signal.SIGTERM)
        assert service.wait(STOP_SECONDS) == 0

    for end, status in ((signal.SIGKILL, -9), (signal.SIGINT, 0)):
        with Service(folder) as service:
            service.wait_until_ready()
            assert ranking(look_for(service, "coffee")) == ranking(found)
            service.send(end)
            assert service.wait(STOP_SECONDS) == status
    assert "Traceback" not in service.log.read_text()


@pytest.mark.parametrize("moment", ["initdb", "postgres", "worker"])
def test_it_can_be_stopped_while_it_starts(folder: Path, moment: str) -> None:
    with Service(folder) as service:
        while not service.runs(moment):
            assert service.running, service.log.read_text()
            time.sleep(0.02)
        service.send(signal.SIGTERM)
        assert service.wait(STOP_SECONDS) == 0
    assert "Traceback" not in service.log.read_text()


@pytest.mark.slow
def test_the_demonstration_finds_its_words_in_the_samples(folder: Path) -> None:
    shown = run(folder, "demo", "--no-stay", timeout=300, port=free_port())
    assert shown.returncode == 0, shown.stderr
    samples = len(find_photos([str(GALLERY)]))
    assert f"{samples} photos: {samples} indexed now, 0 known before, 0 refused" in shown.stdout
    for word in ("coffee", "hotel"):
        assert f"{word}: best of {samples} photos" in shown.stdout
    assert "tin-coffee.jpg" in shown.stdout
    with Image.open(folder / "var" / "demo.png") as sheet:
        assert min(sheet.size) > 500
    assert "Traceback" not in shown.stderr


@pytest.mark.slow
def test_the_demonstration_can_be_ended_in_the_middle(folder: Path) -> None:
    with Service(folder, (*COMMAND, "demo")) as service:
        service.wait_until_ready()
        with Client(service.url) as client:
            while not client.images(status="indexed").items:
                assert service.running, service.log.read_text()
                time.sleep(0.05)
        service.send(signal.SIGINT)
        assert service.wait(STOP_SECONDS) == 0
    assert "Traceback" not in service.log.read_text()


def test_a_port_that_is_taken_is_named_in_one_line(folder: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        refused = run(folder, "serve", port=port)
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert f"127.0.0.1:{port}" in refused.stderr
    assert "GLYPHSEEK_PORT" in refused.stderr
