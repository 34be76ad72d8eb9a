import hashlib
import socket
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import fetch
from app.fetch import NotFetched
from indexer.archives import Arrival
from tests.app.conftest import spell
from tests.app.webserver import WebServer

NOT_PUBLIC = (
    "127.0.0.1",
    "127.8.9.1",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.5.5",
    "192.168.1.1",
    "169.254.169.254",  # metadata of clouds
    "100.100.100.200",  # likewise
    "168.63.129.16",  # likewise
    "224.0.0.1",
    "255.255.255.255",
    "240.0.0.1",
    "198.18.0.1",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",  # 127.0.0.1 through NAT64
    "64:ff9b:1::1",
    "2002:7f00:1::",  # 127.0.0.1 through 6to4
    "2001:0:7f00:1::",  # Teredo
    "::7f00:1",  # 127.0.0.1, as it was once written
    "::ffff:0:7f00:1",  # likewise
    "fe80::1",
    "fec0::1",
    "fe80::1%lo",
    "fc00::1",
    "fd00:ec2::254",  # metadata
    "ff02::1",
)


@pytest.fixture
def web() -> Iterator[WebServer]:
    with WebServer() as web:
        yield web


@pytest.fixture
def open_door(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take this machine for the Internet."""
    monkeypatch.setattr(fetch, "is_public", lambda address: str(address) == "127.0.0.1")


def get(url: str, folder: Path, **options: Any) -> Arrival:
    return fetch.fetch(url, folder / "file", **{"max_bytes": 2000, "seconds": 5, **options})


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_addresses_that_are_not_of_the_internet(address: str) -> None:
    assert not fetch.is_public(ip_address(address))


@pytest.mark.parametrize("address", ["93.184.216.34", "8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
def test_addresses_of_the_internet(address: str) -> None:
    assert fetch.is_public(ip_address(address))


@given(st.ip_addresses(v=4, network="10.0.0.0/8") | st.ip_addresses(v=4, network="127.0.0.0/8"))
def test_no_private_address_gets_through_in_the_clothes_of_another(address: Any) -> None:
    for disguise in (f"::ffff:{address}", f"64:ff9b::{address}"):
        assert not fetch.is_public(ip_address(disguise))


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "[::1]", "[::ffff:7f00:1]"],
)
def test_nothing_on_this_machine_is_reached_however_it_is_written(
    web: WebServer, tmp_path: Path, host: str
) -> None:
    with pytest.raises(NotFetched):
        get(f"http://{host}:{web.port}/coffee.png", tmp_path)
    assert web.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "coffee.png",
        "/etc/passwd",
        "file:///etc/passwd",
        "ftp://example.org/a.png",
        "http://",
        "http:///a.png",
        "http://[::1",
        "http://example.org:99999/",
        "http://example.org:0/",
        "http://user:secret@example.org/",
        "http://a..b/",  # an empty part
        "http://" + "x" * 64 + ".org/",
        "http://example.org/" + "x" * 2000,
    ],
)
def test_what_is_no_address_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(NotFetched):
        get(url, tmp_path)


@pytest.mark.usefixtures("open_door")
def test_a_file_comes_whole_and_with_its_name(web: WebServer, tmp_path: Path) -> None:
    arrival = get(f"{web.url}/deep/caf%C3%A9%20au%20lait.png?size=ü b", tmp_path)
    data = arrival.path.read_bytes()
    assert web.asked == ["/deep/caf%C3%A9%20au%20lait.png?size=%C3%BC%20b"]
    assert (arrival.name, arrival.size_bytes) == ("café au lait.png", len(data))
    assert arrival.sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.usefixtures("open_door")
def test_redirects_are_followed(web: WebServer, tmp_path: Path) -> None:
    arrival = get(f"{web.url}/to?{web.url}/to?{web.url}/coffee.png", tmp_path)
    assert arrival.path.read_bytes() == spell("coffee")
    assert len(web.asked) == 3


@pytest.mark.usefixtures("open_door")
@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/loop", "more than 5 redirects"),
        ("/nowhere", "answered 404"),
        ("/large", "more than 2,000 bytes"),
        ("/endless", "more than 2,000 bytes"),
        ("/cut", "broke off"),
        ("/to?file:///etc/passwd", "not a http or https address"),
        ("/to?http://127.0.0.1:1/", "could not be fetched"),  # nobody is there
        ("/to?http://169.254.169.254/latest/meta-data", "private network"),
        ("/to?http://[::1]/", "private network"),
        ("/to?http://10.0.0.1/", "private network"),
    ],
)
def test_what_goes_wrong_is_said_and_leaves_nothing(
    web: WebServer, tmp_path: Path, path: str, reason: str
) -> None:
    with pytest.raises(NotFetched, match=reason):
        get(web.url + path, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("open_door")
def test_a_slow_server_is_left_in_time(web: WebServer, tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(NotFetched, match=r"took more than 0\.5 s"):
        get(f"{web.url}/slow", tmp_path, seconds=0.5)
    assert time.monotonic() - started < 5


@pytest.mark.usefixtures("open_door")
def test_a_server_that_never_answers_is_left_in_time(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        for scheme in ("http", "https"):
            with pytest.raises(NotFetched, match=r"took more than 0\.5 s"):
                get(f"{scheme}://127.0.0.1:{mute.getsockname()[1]}/", tmp_path, seconds=0.5)


class Names:
    """Stands in for the name service, and for the network."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.connected: list[str] = []

    def getaddrinfo(self, host: str, port: int, **_: object) -> list[tuple[Any, ...]]:
        return [(0, 0, 0, "", (address, port)) for address in self.answers.pop(0)]

    def create_connection(self, address: tuple[str, int], **_: object) -> socket.socket:
        self.connected.append(address[0])
        raise ConnectionRefusedError("nobody there")


@pytest.mark.parametrize(
    ("addresses", "connected"),
    [
        (["93.184.216.34"], ["93.184.216.34"]),
        (["2606:4700::1111", "93.184.216.34"], ["2606:4700::1111", "93.184.216.34"]),
        (["10.0.0.1"], []),
        (["93.184.216.34", "127.0.0.1"], []),  # one of them is enough to refuse
        ([], []),
    ],
)
def test_a_name_is_resolved_once_and_its_addresses_are_what_is_connected_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, addresses: list[str], connected: list[str]
) -> None:
    names = Names(addresses, ["127.0.0.1"])  # what it would say when asked again
    monkeypatch.setattr(socket, "getaddrinfo", names.getaddrinfo)
    monkeypatch.setattr(socket, "create_connection", names.create_connection)
    with pytest.raises(NotFetched):
        get("http://rebinding.example/a.png", tmp_path)
    assert names.connected == connected
    assert len(names.answers) == 1


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://example.org/a/b.jpg?x=c.png#d", "b.jpg"),
        ("http://example.org/a/", "a"),
        ("http://example.org", "example.org"),
        ("http://[", "http://["),
    ],
)
def test_names_of_files(url: str, name: str) -> None:
    assert fetch.name_of(url) == name
