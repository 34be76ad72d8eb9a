from app.metrics import Metrics


def test_every_status_is_there_from_the_start_and_again_when_it_is_empty() -> None:
    metrics = Metrics()
    page = metrics.render({"queued": 3}, indexed=2, watermark=9).decode()
    assert 'glyphseek_images{status="queued"} 3.0' in page
    assert 'glyphseek_images{status="failed"} 0.0' in page
    assert "glyphseek_index_watermark 9.0" in page
    assert "glyphseek_index_images 2.0" in page
    assert 'glyphseek_images{status="queued"} 0.0' in metrics.render({}, indexed=0, watermark=9).decode()


def test_applications_count_apart() -> None:
    first, second = Metrics(), Metrics()
    first.searches.inc(5)
    assert b"glyphseek_searches_total 5.0" in first.render({}, 0, 0)
    assert b"glyphseek_searches_total 0.0" in second.render({}, 0, 0)
