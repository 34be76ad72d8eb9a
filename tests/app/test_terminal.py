import pytest

from app.terminal import counting, format_size, parse_size


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("0", 0),
        ("1234", 1234),
        ("500MB", 500_000_000),
        ("2.5 g", 2_500_000_000),
        ("1tb", 10**12),
        ("7 b", 7),
    ],
)
def test_sizes_are_understood(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["", "b", "big", "-1", "1x", "1e400", "nan", "9999999999 GB", "1 2"])
def test_what_is_no_size_is_said(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size such as 500MB"):
        parse_size(text)


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (2_345_678, "2.35 MB"),
        (123_456_789, "123 MB"),
        (10**13, "10,000 GB"),
    ],
)
def test_sizes_are_written(size_bytes: int, text: str) -> None:
    assert format_size(size_bytes) == text


def test_progress_leaves_nothing_in_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    with counting("photos") as progress:
        progress(1, 3)
        progress(3, 3)
    assert capsys.readouterr() == ("", "")
