"""What keeps the source easy to read: a test file for every module, small files and functions."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(
    path.relative_to(ROOT)
    for package in ("app", "indexer", "model")
    for path in (ROOT / package).rglob("*.py")
    if path.name != "__init__.py"
)
MAX_FILE_LINES, MAX_FUNCTION_LINES = 400, 50
UNTESTED = {
    "app/__main__.py": "starts the programs of tests/acceptance",
    "app/schemas.py": "declarations; the tests of the routes go through them",
    "indexer/errors.py": "declarations",
    "indexer/tables.py": "declarations; held against the migrations in tests/integration/test_database.py",
    "model/training/boards.py": "a kind of scene; drawn by test_showcase.py and test_synthetic.py",
    "model/training/gallery_print.py": "as boards.py",
    "model/training/gallery_streets.py": "as boards.py",
    "model/training/indoors.py": "as boards.py",
    "model/training/outdoors.py": "as boards.py",
    "model/training/scenery.py": "as boards.py",
}


def mirrors(module: Path) -> list[Path]:
    """Return where the tests of a module may be."""
    name = f"test_{module.name}"
    return [ROOT / "tests" / module.with_name(name), ROOT / "tests" / "integration" / name]


def functions(path: Path) -> dict[str, int]:
    """Return the length of every function, without its docstring, which is as long as its arguments need."""
    lengths = {}
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            described = ast.get_docstring(node, clean=False) is not None
            first = node.body[0]
            docstring = (first.end_lineno or 0) - first.lineno + 1 if described else 0
            lengths[node.name] = (node.end_lineno or 0) - node.lineno + 1 - docstring
    return lengths


def test_the_modules_are_found() -> None:
    assert {"app/cli.py", "indexer/queue.py", "model/training/train.py"} <= {str(path) for path in MODULES}


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_every_module_has_its_tests(module: Path) -> None:
    tests = [path for path in mirrors(module) if path.exists()]
    assert bool(tests) != (str(module) in UNTESTED)
    assert all("def test_" in path.read_text("utf-8") for path in tests)


def test_exceptions_are_of_modules_that_exist() -> None:
    assert set(UNTESTED) <= {str(path) for path in MODULES}


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_files_and_functions_stay_small(module: Path) -> None:
    assert len((ROOT / module).read_text("utf-8").splitlines()) <= MAX_FILE_LINES
    long = {name: lines for name, lines in functions(ROOT / module).items() if lines > MAX_FUNCTION_LINES}
    assert long == {}


def test_lengths_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "long.py"
    path.write_text('def f():\n    """A\n\n    B\n    """\n' + "    g()\n" * 60)
    assert functions(path) == {"f": 61}


@pytest.mark.parametrize("folder", ["docker", "migrations"])
def test_these_folders_are_no_packages(folder: str) -> None:
    """With one, `docker/` would stand in for an installed package of that name."""
    assert (ROOT / folder).is_dir()
    assert list((ROOT / folder).rglob("__init__.py")) == []
