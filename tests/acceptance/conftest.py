import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the browser to `make test-slow`: beside other work it misses its time limits."""
    for item in items:
        if item.path.name == "test_page.py":
            item.add_marker(pytest.mark.slow)
