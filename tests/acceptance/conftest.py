import pytest

from tests.acceptance.browser import run_chromium

chromium = pytest.fixture(scope="module")(run_chromium)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the browser to `make test-slow`: beside other work it misses its time limits."""
    for item in items:
        if item.path.name.startswith("test_page"):
            item.add_marker(pytest.mark.slow)
