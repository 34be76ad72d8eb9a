"""The files for Docker, read as text, and by docker compose itself where that is installed."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path, PurePosixPath

import pytest
import yaml

from app.settings import Settings

ROOT = Path(__file__).parents[2]
FILES = [ROOT / "docker-compose.yml", ROOT / "docker" / "compose.gpu.yml"]
OURS = ["migrate", "api", "worker"]


def config(env_file, files=FILES):
    """Return what docker compose makes of files together, or skip without it."""
    files = [option for file in files for option in ("-f", str(file))]
    environment = {"PATH": os.environ["PATH"]}  # nothing set by chance may fill in for the env file
    command = ["docker", "compose", *files, "--env-file", str(env_file), "config", "--format", "json"]
    installed = shutil.which("docker") and subprocess.run([*command[:2], "version"], capture_output=True)
    if not installed or installed.returncode:
        pytest.skip("docker compose is not installed")
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)


@pytest.fixture(scope="module")
def services():
    return yaml.safe_load(FILES[0].read_text())["services"]


@pytest.fixture(scope="module")
def dockerfile():
    return (ROOT / "docker" / "Dockerfile").read_text()


def variables(text):
    return set(re.findall(r"\$\{(\w+)", text))


def passed_through(service):
    return {name for name, value in service["environment"].items() if value is None}


def listed(text):
    """Return the variables that an env file sets or, commented out, offers."""
    return set(re.findall(r"^#?([A-Z][A-Z_]*)=", text, re.MULTILINE))


def test_the_database_keeps_its_files_in_the_volume_whatever_its_version(services):
    db = services["db"]
    assert db["image"] == "postgres:${POSTGRES_TAG:-18}"
    (volume,) = db["volumes"]
    # Images of 18 refuse a volume at .../data; those of 15 put one of their own there, which `down -v` keeps.
    assert volume == "db:/var/lib/postgresql"
    data = PurePosixPath(db["environment"]["PGDATA"])
    assert data.parent == PurePosixPath("/var/lib/postgresql")
    assert data.name != "data"


def test_a_gpu_is_kept_for_the_worker_alone():
    services = yaml.safe_load(FILES[1].read_text())["services"]
    assert list(services) == ["worker"]
    assert services["worker"]["environment"] == {"GLYPHSEEK_DEVICE": "cuda"}
    [gpu] = services["worker"]["deploy"]["resources"]["reservations"]["devices"]
    assert gpu == {"driver": "nvidia", "device_ids": ["${GLYPHSEEK_GPU:-0}"], "capabilities": ["gpu"]}


def test_the_image_is_slim_and_takes_options_for_pip_and_another_faiss(services, dockerfile):
    foreign = [image for image in re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE) if ":" in image]
    assert foreign == ["python:3.12-slim"]
    assert re.search(r'^ARG PIP_OPTIONS=""$', dockerfile, re.MULTILINE)
    assert re.search(r"^ARG FAISS=faiss-cpu$", dockerfile, re.MULTILINE)
    pips = re.findall(r"pip (?:install|wheel) [^&|}\n]*", dockerfile)
    assert len(pips) == 4
    assert all("$PIP_OPTIONS" in pip or "--no-index" in pip for pip in pips)
    # The other build goes where the usual one was: both bring the module of that name.
    assert re.search(r'pip uninstall --yes faiss-cpu && pip install \$PIP_OPTIONS "\$FAISS"', dockerfile)
    for name in OURS:
        arguments = {"PIP_OPTIONS": "${PIP_OPTIONS:-}", "FAISS": "${FAISS:-faiss-cpu}"}
        assert services[name]["build"]["args"] == arguments
    readme = (ROOT / "README.md").read_text()
    assert all(f"`{name}` in `.env`" in readme for name in arguments)


def test_nothing_is_published_beyond_this_machine(services):
    assert [name for name, service in services.items() if "ports" in service] == ["api"]
    assert services["api"]["ports"] == ["127.0.0.1:${GLYPHSEEK_PORT:-8000}:8000"]
    assert not any("network_mode" in service for service in services.values())


@pytest.mark.parametrize("name", ["db", *OURS])
def test_processes_have_no_more_rights_than_they_need(services, name):
    service = services[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert "cap_add" not in service or name == "db"


def test_the_image_does_not_run_as_root(dockerfile):
    assert re.findall(r"^USER (\S+)", dockerfile, re.MULTILINE) == ["10001:10001"]


def test_everything_that_stays_up_has_a_health_check_and_comes_back(services):
    for name in ("db", "api", "worker"):
        assert services[name]["healthcheck"]["test"]
        assert services[name]["restart"] == "unless-stopped"
    assert "restart" not in services["migrate"]


def test_api_and_worker_wait_for_the_tables_and_share_the_photos(services):
    for name in ("api", "worker"):
        assert services[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
        assert services[name]["volumes"] == ["data:/data"]
    assert services["migrate"]["depends_on"]["db"] == {"condition": "service_healthy"}


def test_every_environment_variable_is_a_setting(services):
    settings = {f"GLYPHSEEK_{name.upper()}" for name in Settings.model_fields}
    for name in OURS:
        given = {variable for variable in services[name]["environment"] if variable.startswith("GLYPHSEEK_")}
        assert given <= settings


def test_the_example_offers_what_the_files_read_and_sets_the_required(services):
    example = (ROOT / ".env.example").read_text()
    read = set().union(*(variables(file.read_text()) for file in FILES))
    offered = listed(example)
    assert offered <= read | passed_through(services["api"]) | passed_through(services["worker"])
    assert read <= offered
    required = set(re.findall(r"\$\{(\w+):\?", FILES[0].read_text()))
    assert required == {"POSTGRES_PASSWORD"}
    assert all(re.search(rf"^{name}=.+", example, re.MULTILINE) for name in required)


def test_a_change_of_the_code_does_not_install_the_dependencies_again(dockerfile):
    stages = dict(re.findall(r"^FROM \S+ AS (\w+)\n(.*?)(?=^FROM |\Z)", dockerfile, re.MULTILINE | re.DOTALL))
    copied = re.findall(r"^COPY (.+)", stages["dependencies"], re.MULTILINE)
    assert copied == ["--from=requirements /requirements.txt /", "constraints.txt /"]
    assert re.findall(r"^FROM (\S+) AS (?:migrate|worker|api)$", dockerfile, re.MULTILINE) == ["runtime"] * 3
    assert re.search(r"^FROM dependencies AS runtime$", dockerfile, re.MULTILINE)


def test_the_build_context_holds_what_the_image_copies_and_nothing_else(dockerfile):
    copied = {
        path
        for line in re.findall(r"^COPY (?!--from)(.+)", dockerfile, re.MULTILINE)
        for path in line.split()[:-1]
    }
    ignored = (ROOT / ".dockerignore").read_text().split("\n")
    assert "*" in ignored
    assert {line[1:] for line in ignored if line.startswith("!")} == copied
    assert all((ROOT / path).exists() for path in copied)


def test_compose_reads_both_files_together_and_gives_the_worker_a_gpu():
    result = config(ROOT / ".env.example")
    assert (result.returncode, result.stderr) == (0, "")
    services = json.loads(result.stdout)["services"]
    assert [services[name]["build"]["target"] for name in OURS] == OURS
    assert [port["host_ip"] for port in services["api"]["ports"]] == ["127.0.0.1"]
    assert "deploy" not in services["api"]
    assert services["worker"]["environment"]["GLYPHSEEK_DEVICE"] == "cuda"
    [gpu] = services["worker"]["deploy"]["resources"]["reservations"]["devices"]
    assert gpu == {"driver": "nvidia", "device_ids": ["0"], "capabilities": ["gpu"]}


def test_compose_reads_the_first_file_alone():
    result = config(ROOT / ".env.example", FILES[:1])
    assert (result.returncode, result.stderr) == (0, "")
    services = json.loads(result.stdout)["services"]
    assert sorted(services) == sorted(["db", *OURS])
    assert services["db"]["image"] == "postgres:18"
    assert [services[name]["build"]["target"] for name in OURS] == OURS
    assert [port["host_ip"] for port in services["api"]["ports"]] == ["127.0.0.1"]
    assert services["worker"]["environment"]["GLYPHSEEK_DEVICE"] is None
    assert not any("deploy" in service for service in services.values())


@pytest.mark.parametrize("files", [FILES[:1], FILES])
def test_compose_stops_without_a_password_and_names_it(tmp_path, files):
    (tmp_path / "empty.env").touch()
    result = config(tmp_path / "empty.env", files)
    assert result.returncode != 0
    assert "POSTGRES_PASSWORD" in result.stderr
