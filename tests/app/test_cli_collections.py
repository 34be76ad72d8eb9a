import pytest

from app.client import Client, Photo
from tests.app.conftest import Run, spell


def test_collections_from_the_first_to_the_last(run: Run, service_url: str) -> None:
    at = ("--url", service_url)
    assert run("collections", "create", "trip", "--quota", "20kB", *at) == (0, "", "")
    assert run("collections", "rename", "trip", "summer [24]", *at) == (0, "", "")
    with Client(service_url) as client:
        client.upload([Photo("a.png", spell("a"))], collection="summer [24]")
    status, out, _ = run("collections", *at)
    assert status == 0
    assert out.split()[:4] == ["collection", "photos", "used", "quota"]
    line = out.splitlines()[1].strip()
    assert line.startswith("summer [24]")
    assert f"{len(spell('a'))} bytes" in line
    assert line.endswith("20 kB")
    run("collections", "quota", "summer [24]", "none", url=service_url)
    assert "none" in run("collections", url=service_url)[1]

    status, _, err = run("collections", "drop", "summer [24]", *at)
    assert status == 2
    assert "--with-photos" in err
    assert run("collections", "drop", "summer [24]", "--with-photos", *at) == (0, "", "")
    assert "summer" not in run("collections", *at)[1]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["nonsense"], "nonsense"),  # no such command
        (["create"], "name"),
        (["create", "a", "--quota", "big"], "big is not a size"),
        (["quota", "a", "-5"], "-5"),
        (["drop", "a", "--url", "http://127.0.0.1:1"], "glyphseek serve"),  # nobody listens
        (["--url", "http://127.0.0.1:1"], "glyphseek serve"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(run: Run, arguments: list[str], part: str) -> None:
    status, out, err = run("collections", *arguments)
    assert (status, out) == (2, "")
    assert err.startswith("glyphseek: ")
    assert err.count("\n") == 1
    assert part in err


@pytest.mark.parametrize("command", ["rename", "quota", "drop"])
def test_what_is_not_there_is_said(run: Run, service_url: str, command: str) -> None:
    more = {"rename": ["b"], "quota": ["1GB"], "drop": []}[command]
    status, _, err = run("collections", command, "nowhere", *more, "--url", service_url)
    assert (status, err) == (2, "glyphseek: there is no such collection\n")
