"""The description of the API, held against the service by thousands of odd requests."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.client import Client, Photo
from app.settings import Settings
from tests.app.conftest import spell


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Settings with the usual limits: a small one, refused with 413, would pass for a missing check."""
    return settings.model_copy(update={"max_files": 1000})


@pytest.mark.slow
def test_service_does_what_its_description_says(service_url: str, tmp_path: Path) -> None:
    """No 5xx, no status that is not described, no answer of another shape."""
    with Client(service_url) as client:
        client.upload([Photo("a.png", spell("coffee shop")), Photo("b.png", spell("hotel"))])
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{service_url}/openapi.json"]
    options = ["--max-examples=60", "--seed=1", "--generation-database=none", "--no-color"]
    # Random bytes are no photo and random text no word: that the service takes what is valid, others test.
    options.append("--exclude-checks=positive_data_acceptance")
    found = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
