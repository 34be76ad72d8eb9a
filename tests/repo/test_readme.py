"""The README names whatever a user can set, call or run."""

import re
from pathlib import Path

import pytest

from app.cli import cli
from app.main import create_app
from app.settings import Settings
from tests.integration.conftest import RandomEncoder

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
SETTINGS = {f"GLYPHSEEK_{name.upper()}" for name in Settings.model_fields}
COMMANDS = {info.name or info.callback.__name__ for info in cli.registered_commands if info.callback}
COMMANDS |= {str(group.name) for group in cli.registered_groups}


def calls() -> set[str]:
    paths = create_app(Settings(), RandomEncoder()).openapi()["paths"]
    return {f"{method.upper()} {path}" for path, operations in paths.items() for method in operations}


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_every_setting_is_in_the_table(name: str) -> None:
    assert f"| `{name}` |" in README


@pytest.mark.parametrize("call", sorted(calls()))
def test_every_call_is_named(call: str) -> None:
    assert f"`{call}`" in README


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_is_named(command: str) -> None:
    assert re.search(rf"glyphseek {command}\b", README)


def test_nothing_is_named_that_is_not_there() -> None:
    assert set(re.findall(r"\bGLYPHSEEK_\w+", README)) <= SETTINGS | {"GLYPHSEEK_URL"}
    assert set(re.findall(r"`glyphseek (\w+)", README)) <= COMMANDS
    named = set(re.findall(r"`((?:GET|POST|PUT|PATCH|DELETE) /[^`? ]*)`", README))
    assert named <= calls()


def test_defaults_in_the_table_are_those_of_the_program() -> None:
    rows = dict(re.findall(r"^\| `GLYPHSEEK_(\w+)` \| *`?([^|`]*?)`? *\|", README, re.MULTILINE))
    for name, field in Settings.model_fields.items():
        default = field.default
        if isinstance(default, tuple):
            default = ", ".join(map(str, default))
        assert rows[name.upper()] == ("" if default is None else str(default)), name


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert [link for link in links if not (Path(__file__).parents[2] / link).exists()] == []
