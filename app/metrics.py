"""Numbers for Prometheus, one registry an application."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class Metrics:
    """What `/metrics` shows."""

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.searches = Counter("glyphseek_searches", "Queries searched for.", registry=self._registry)
        self.search_seconds = Histogram(
            "glyphseek_search_seconds",
            "Time of a search request.",
            buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5),
            registry=self._registry,
        )
        self.uploads = Counter(
            "glyphseek_uploaded_files", "Uploaded files by outcome.", ["status"], registry=self._registry
        )
        self._images = Gauge("glyphseek_images", "Photos by status.", ["status"], registry=self._registry)
        self._watermark = Gauge(
            "glyphseek_index_watermark", "Last change that the index contains.", registry=self._registry
        )
        self._indexed = Gauge("glyphseek_index_images", "Photos in the index.", registry=self._registry)

    def render(self, images: dict[str, int], indexed: int, watermark: int) -> bytes:
        """Return the page, with the present state of the gallery."""
        for status in ("queued", "processing", "indexed", "failed"):
            self._images.labels(status).set(images.get(status, 0))
        self._indexed.set(indexed)
        self._watermark.set(watermark)
        return generate_latest(self._registry)
