"""Versions: whoever installs with constraints.txt gets exactly what was tested."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PINNED = {
    canonicalize_name(pin.name): pin
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if (text := line.partition("#")[0].strip())
    for pin in [Requirement(text)]
}


def requirements() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    named = map(Requirement, [*project["dependencies"], *extras])
    return [requirement for requirement in named if requirement.name != project["name"]]


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_every_dependency_is_pinned_to_a_version_that_it_allows(requirement: Requirement) -> None:
    pin = PINNED[canonicalize_name(requirement.name)]
    (version,) = re.fullmatch(r"==([\w.]+)", str(pin.specifier)).groups()  # type: ignore[union-attr]
    assert requirement.specifier.contains(version, prereleases=True)
