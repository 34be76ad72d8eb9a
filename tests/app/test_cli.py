import json
import time
from pathlib import Path

import pytest
from PIL import Image

from app import cli
from app.client import Client, Photo
from app.settings import Settings
from indexer import versions
from indexer.database import create_engine, session_scope
from tests.app.conftest import Run, spell

COMMANDS = ["serve", "api", "worker", "migrate"]
COMMANDS += ["ingest", "watch", "search", "reindex", "status", "evaluate", "annotate", "demo"]


def test_these_are_the_commands() -> None:
    assert [info.name or info.callback.__name__ for info in cli.cli.registered_commands] == COMMANDS
    assert [info.name for info in cli.cli.registered_groups] == ["collections"]


@pytest.mark.parametrize("arguments", [[], ["--help"], *([command, "--help"] for command in COMMANDS)])
def test_help(run: Run, arguments: list[str]) -> None:
    status, out, err = run(*arguments)
    assert (status, err) == (0, "")
    assert out.startswith("Usage: ")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["nonsense"], "nonsense"),  # no such command
        (["--nonsense"], "--nonsense"),  # no such option
        (["search"], "query"),  # missing argument
        (["ingest"], "paths"),
        (["search", "a", "b"], "b"),  # one too many
        (["search", "a", "--limit", "0"], "--limit"),
        (["search", "a", "--limit", "x"], "--limit"),
        (["search", "a", "--url"], "--url"),  # without a value
        (["ingest", "nowhere"], "no file or folder nowhere"),
        (["ingest", ""], "no file or folder"),  # an unset variable of a shell is not the current folder
        (["ingest", "."], "no photos"),  # an empty folder
        (["ingest", "--urls", "nowhere.txt"], "nowhere.txt"),
        (["watch", "nowhere"], "nowhere"),
        (["watch", ".", "--every", "0"], "--every"),
        (["watch", ".", "--url", "http://127.0.0.1:1"], "glyphseek serve"),
        (["evaluate", "nowhere.jsonl"], "nowhere.jsonl"),
        (["evaluate", __file__, "--queries", "nowhere.json"], "nowhere.json"),
        (["evaluate", __file__, "--images", "nowhere"], "nowhere is no folder"),
        (["annotate"], "name a photo and the words in it"),
        (["annotate", __file__], "name a photo and the words in it"),  # no words
        (["annotate", __file__, "word", "--words", __file__], "name a photo and the words"),  # both
        (["annotate", __file__, "--sheet", "a.xyz"], "a.xyz must end as a picture does"),
        (["search", "word", "--sheet", "a"], "a must end as a picture does"),
        (["demo", "--sheet", "a.psd"], "a.psd must end as a picture does"),  # can be read alone
        (["annotate", "nowhere.jpg", "word"], "nowhere.jpg"),
        (["annotate", __file__, "word"], "not a picture"),
        (["annotate", __file__, "東"], "'東' has none of the characters"),
        (["annotate", "--words", __file__], "test_cli.py, line 1: "),
        (["status", "--url", "nonsense"], "nonsense"),
        (["status", "--url", "http://127.0.0.1:1"], "glyphseek serve"),  # nobody listens
        (["search", "a", "--url", "http://127.0.0.1:1"], "glyphseek serve"),
        (["api"], "GLYPHSEEK_DATABASE_URL"),  # only `serve` brings its own
        (["worker"], "GLYPHSEEK_DATABASE_URL"),
        (["migrate"], "GLYPHSEEK_DATABASE_URL"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(run: Run, arguments: list[str], part: str) -> None:
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("glyphseek: ")
    assert err.count("\n") == 1
    assert part in err


@pytest.mark.parametrize("command", ["serve", "api", "worker", "migrate", "demo"])
@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("port", "x", "integer"),
        ("checkpoint", "nowhere.safetensors", "file"),
        ("device", "tpu", "auto"),
        ("database_url", "mysql://me:secret@host/x", "postgresql://"),  # no Postgres
        ("database_url", "nonsense", "database URL"),
        ("database_url", "postgresql://me:secret/x", "%40"),  # a port that is no number
        ("database_url", "postgresql://me:se@cr:secret@host/x", "%40"),
        ("allowed_hosts", "http://localhost", "without http"),
        ("longer_sides", "1", "64"),
    ],
)
def test_a_bad_setting_is_named_before_anything_starts(
    run: Run, tmp_path: Path, command: str, name: str, value: str, part: str
) -> None:
    status, out, err = run(command, **{name: value})
    assert (status, out) == (2, "")
    assert err.startswith(f"glyphseek: GLYPHSEEK_{name.upper()}: ")
    assert err.count("\n") == 1
    assert part in err
    assert "secret" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["api", "worker", "evaluate"])
def test_a_file_that_is_no_checkpoint_is_one_line_too(run: Run, command: str) -> None:
    arguments = [command, __file__] if command == "evaluate" else [command]
    status, _, err = run(*arguments, checkpoint=__file__, database_url="postgresql:///x?host=/nowhere")
    assert status == 2
    assert err.strip().startswith("glyphseek: test_cli.py is not a glyphseek checkpoint")


def test_a_database_that_does_not_answer(run: Run) -> None:
    status, _, err = run("migrate", database_url="postgresql://127.0.0.1:1/x")
    assert status == 2
    assert err.startswith("glyphseek: The database does not answer; try again in a moment. (")
    assert "refused" in err
    assert err.count("\n") == 1


def test_a_database_that_refuses(run: Run, empty_database_url: str) -> None:
    status, _, err = run("migrate", database_url=f"{empty_database_url}&ssl=true")
    assert status == 2
    assert err.startswith("glyphseek: The database refuses what the service asks of it")
    assert 'invalid connection option "ssl"' in err
    assert err.count("\n") == 1


def test_migrate_makes_the_tables(run: Run, empty_database_url: str) -> None:
    for _ in range(2):  # a second time changes nothing
        assert run("migrate", database_url=empty_database_url)[0] == 0


def test_photos_are_sent_and_found(run: Run, service_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, word in (("one.png", "coffee"), ("two [draft].png", "hotel")):
        (folder / name).write_bytes(spell(word))
    status, out, _ = run("ingest", folder, "--url", service_url)
    assert status == 0
    assert "2 photos: 2 indexed now, 0 known before, 0 refused" in out
    assert "0 indexed now, 2 known before" in run("ingest", folder, url=service_url)[1]

    status, out, err = run("search", "hotel", "--url", service_url, "--sheet", "deep/sheet.png")
    assert status == 0
    best, worse = out.splitlines()[-2:]
    assert best.split() == ["1.000", "two", "[draft].png", "hotel", "0", "0", "8", "4"]
    assert "one.png" in worse
    assert "sheet.png" in err
    with Image.open(tmp_path / "deep" / "sheet.png") as sheet:
        assert sheet.size[0] > 1000


def test_ranking_can_be_exported(run: Run, service_url: str, tmp_path: Path) -> None:
    with Client(service_url) as client:
        client.upload([Photo("a.png", spell("hotel")), Photo("b.png", spell("hostel"))], wait=True)
    for name in ("deep/ranking.csv", "ranking.json"):
        status, _, err = run(
            "search", "hotel", "--url", service_url, "--limit", "1", "--where", "width>=1", "--export", name
        )
        assert (status, f"wrote {name}" in err) == (0, True)
    rows = (tmp_path / "deep" / "ranking.csv").read_text().splitlines()
    assert [row.split(",")[2] for row in rows] == ["name", "a.png", "b.png"]  # all, whatever the limit
    assert {"images", "annotations"} <= json.loads((tmp_path / "ranking.json").read_text()).keys()
    assert run("search", "hotel", "--url", service_url, "--export", "ranking.xlsx")[0] == 2


def test_json_is_what_the_service_answers(run: Run, service_url: str) -> None:
    with Client(service_url) as client:
        client.upload([Photo("日本.png", spell("x"))])
    status, out, err = run("search", "x", "--json", "--url", service_url)
    answer = json.loads(out)
    assert (status, err) == (0, "")
    assert answer["query"] == "x"
    assert out.count("\n") == 1
    assert [hit["image"]["name"] for hit in answer["hits"]] in ([], ["日本.png"])  # indexed by now, or not


def test_photos_that_are_refused_are_named(run: Run, service_url: str, tmp_path: Path) -> None:
    path = tmp_path / "bad [b].jpg"
    path.write_bytes(b"text")
    status, out, _ = run("ingest", path, "--url", service_url)
    assert status == 1
    assert "0 indexed now, 0 known before, 1 refused" in out
    assert "refused: bad [b].jpg: this is not a picture" in out


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["search", ""], "letter or a digit"),
        (["search", "a", "--collection", "nowhere"], "collection"),
        (["search", "a", "--match", "fuzzy"], "match"),
        (["search", "a", "--where", "year=2024"], "meta.year>=2020"),
        (["search", "a", "--min-score", "x"], "min_score"),
        (["search", "a", "--taken-after", "x"], "taken-after"),
    ],
)
def test_what_the_service_refuses_is_said(
    run: Run, service_url: str, arguments: list[str], part: str
) -> None:
    status, _, err = run(*arguments, "--url", service_url)
    assert status == 2
    assert part in err


def test_status_counts_and_names_failures(
    run: Run, service_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("indexer.queue.BACKOFF_SECONDS", ())  # no second attempt
    (tmp_path / "good.png").write_bytes(spell("good"))
    (tmp_path / "odd.png").write_bytes(spell("?"))
    run("ingest", tmp_path / "good.png", tmp_path / "odd.png", "--url", service_url)
    status, out, _ = run("status", "--url", service_url)
    assert status == 0
    words = out.split()
    assert words[words.index("service") + 1] == "ok"
    assert words[words.index("indexed") + 1] == words[words.index("failed") + 1] == "1"
    assert "failed: 2 odd.png: an error occurred while it was indexed" in " ".join(words)


def test_photos_are_indexed_again(run: Run, service_url: str, tmp_path: Path) -> None:
    (tmp_path / "good.png").write_bytes(spell("good"))
    run("ingest", tmp_path / "good.png", "--url", service_url)
    status, out, _ = run("reindex", "--url", service_url)
    assert (status, out) == (0, "1 photos indexed again, 0 of them failed\n")


def test_status_says_which_network_search_answers_from(
    run: Run, service_url: str, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "good.png").write_bytes(spell("good"))
    run("ingest", tmp_path / "good.png", "--url", service_url)
    hint = "until `glyphseek reindex` is through"
    assert hint not in run("status", "--url", service_url)[1]
    assert settings.database_url is not None
    engine = create_engine(settings.database_url)
    with session_scope(engine) as session:
        versions.add(session, version="2" * 64, dimension=24)
        versions.serve(session, version="2" * 64)
    engine.dispose()
    deadline = time.monotonic() + 10
    while hint not in (answer := run("status", "--url", service_url))[1]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert answer[0] == 1  # its checkpoint is not here
