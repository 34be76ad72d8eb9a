import pytest

from indexer.intake import clean_name


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        ("a.jpg", "a.jpg"),
        ("", "unnamed"),  # nothing
        ("/", "unnamed"),  # a folder alone
        ("../../etc/passwd", "passwd"),
        ("C:\\photos\\a b.jpg", "a b.jpg"),  # Windows
        (
            "a\x00b\n\x7f.jpg",
            "a\ufffdb\ufffd\ufffd.jpg",
        ),  # Postgres takes no NUL, a screen no control character
        ("photo\u202egpj.exe", "photo\ufffdgpj.exe"),  # would look like photoexe.jpg
        ("a\ud800.jpg", "a\ufffd.jpg"),  # half a character
        ("日本 ü 🎉.jpg", "日本 ü 🎉.jpg"),  # any script
        ("x" * 300, "x" * 255),  # cut
    ],
)
def test_names_are_cleaned(name: str, cleaned: str) -> None:
    assert clean_name(name) == cleaned
