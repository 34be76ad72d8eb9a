import time

from indexer.results import SearchResult


def test_steps_are_timed_in_milliseconds() -> None:
    result = SearchResult()
    with result.timed("total"):
        with result.timed("encode"):
            time.sleep(0.02)
        with result.timed("index"):
            pass
    assert 20 <= result.took_ms["encode"] <= result.took_ms["total"]
    assert 0 <= result.took_ms["index"] < result.took_ms["encode"]
    assert list(result.took_ms) == ["encode", "index", "total"]
