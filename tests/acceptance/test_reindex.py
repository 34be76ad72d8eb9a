"""A new network takes over a gallery while it is searched, across kill -9 of the worker."""

import io
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont

from app.client import Client, Photo
from model import checkpoint
from tests.acceptance.service import Service

WORDS = ("coffee", "hotel", "museum", "garage", "dentist", "bakery", "market", "station")
MEND_SECONDS = 150.0
Scores = dict[str, dict[str, float]]


def photos() -> list[Photo]:
    """Return a photo of each word."""
    result = []
    for word in WORDS:
        image = Image.new("RGB", (320, 160), (200, 210, 220))
        pen = ImageDraw.Draw(image)
        pen.text((40, 40), word, fill=(30, 20, 60), font=ImageFont.load_default(48))
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        result.append(Photo(f"{word}.png", buffer.getvalue()))
    return result


@pytest.fixture
def other_network(tmp_path: Path) -> Path:
    """The shipped network with its channels in another order: it makes nothing of the other's embeddings."""
    loaded = checkpoint.load()
    order = torch.randperm(loaded.retriever.config.channels, generator=torch.Generator().manual_seed(1))
    for branch in (loaded.retriever.image_branch, loaded.retriever.text_branch):
        for values in (branch.project.weight, branch.project.bias):
            values.copy_(values[order])
    path = tmp_path / "other.safetensors"
    checkpoint.save(path, loaded.retriever, loaded.card, loaded.extras)
    return path


def scores(client: Client) -> Scores:
    return {
        word: {hit.image.name: hit.score for hit in client.search(word, limit=100).hits} for word in WORDS
    }


def assert_same(found: Scores, expected: Scores) -> None:
    """Hold scores against others, up to what a region read alone or beside others differs in bfloat16."""
    for word in WORDS:
        assert found[word] == pytest.approx(expected[word], abs=0.02), word


def await_all(service: Service, version: str) -> None:
    deadline = time.monotonic() + MEND_SECONDS
    with Client(service.url) as client:
        while time.monotonic() < deadline:
            health = client.health()
            total = client.search(WORDS[0]).total
            if health.images == {"indexed": len(WORDS)} and total == len(WORDS):
                assert health.served_version == version
                return
            time.sleep(0.2)
    pytest.fail(service.log.read_text()[-3000:])


@pytest.mark.slow
def test_search_answers_from_one_network_throughout(tmp_path: Path, other_network: Path) -> None:
    old, new = checkpoint.load().version, checkpoint.load(other_network).version
    with Service(tmp_path) as service:
        service.wait_until_ready()
        with Client(service.url) as client:
            client.upload(photos())
            await_all(service, old)
            before = scores(client)
        assert all(max(before[word], key=before[word].__getitem__) == f"{word}.png" for word in WORDS)
    with Service(tmp_path, checkpoint=other_network, batch_size=1) as service:
        service.wait_until_ready()
        with Client(service.url) as client:
            health = client.health()
            assert (health.served_version, health.model_version) == (old, new)
            assert client.reindex().photos == len(WORDS)
            kills = 0
            deadline = time.monotonic() + MEND_SECONDS
            while (health := client.health()).served_version == old:
                assert_same(scores(client), before)
                if not kills and health.images.get("processing"):
                    kills += 1
                    for process in service.part("worker"):
                        with suppress(psutil.NoSuchProcess):
                            process.kill()
                assert time.monotonic() < deadline, service.log.read_text()[-3000:]
            assert kills == 1
            await_all(service, new)
            assert_same(scores(client), before)
