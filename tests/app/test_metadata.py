import json

import pytest

from app import metadata


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", {}),  # none
        ("{}", {}),
        ('{"a": 1, "a": 2}', {"a": 2}),  # the same key twice: the last counts
        ('{"a": -0}', {"a": 0}),
        ('{"a": 1e30, "b": 1e-30, "c": 0.0}', {"a": 1e30, "b": 1e-30, "c": 0}),
        ('{"\\u202eא": "\\\\u0000 😀"}', {"\u202eא": "\\u0000 😀"}),  # any text, the name of NUL too
        ("[" * 31 + "]" * 31, None),  # not an object
        ('{"a":' + "[" * 31 + "]" * 31 + "}", ...),  # as deep as may be
    ],
)
def test_objects_are_read(text: str, kept: object) -> None:
    if kept is None:
        with pytest.raises(ValueError, match="something else"):
            metadata.parse(text)
    else:
        assert metadata.parse(text) == (json.loads(text) if kept is ... else kept)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[1]", "something else"),
        ("{", "Expecting"),
        ('{"a": NaN}', "NaN is not JSON"),
        ('{"a": -Infinity}', "not JSON"),
        ('{"a": 1e999}', "beyond"),  # Python would make it infinite
        ('{"a": 1e31}', "beyond"),  # Postgres would write it out
        ('{"a": 1e-300}', "beyond"),
        ('{"a": ' + "9" * 5000 + "}", "digits"),  # longer than Python reads
        ('{"a": "\\u0000"}', "NUL"),
        ('{"\\u0000": 1}', "NUL"),
        ('{"a": ["\\ud800"]}', "half a character"),
        ('{"a":' + "[" * 32 + "]" * 32 + "}", "too deeply"),
        ('{"a":' + "[" * 5000 + "]" * 5000 + "}", "too deeply"),
        ('{"a": "' + "ü" * 8200 + '"}', "bytes"),  # more than 16 KiB
    ],
)
def test_what_cannot_be_kept_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        metadata.parse(text)
