import os
import shutil
import subprocess
from pathlib import Path

import pytest

from indexer.server_state import is_ready, server_processes, stop_processes


@pytest.mark.parametrize(
    ("note", "expected"),
    [
        (None, False),  # no server ever
        ("", False),  # just created
        ("123\n/data\n1700000000\n5432\n/tmp\n\n1 2\n", False),  # state not yet written
        ("123\n/data\n1700000000\n5432\n/tmp\n\n1 2\nstarting\n", False),
        ("123\n/data\n1700000000\n5432\n/tmp\n\n1 2\nready   \n", True),
        ("123\n/data\n1700000000\n5432\n/tmp\n\n1 2\nstopping\n", False),
    ],
)
def test_is_ready(tmp_path: Path, note: str | None, *, expected: bool) -> None:
    if note is not None:
        (tmp_path / "postmaster.pid").write_text(note)
    assert is_ready(tmp_path) is expected


def test_only_servers_of_this_folder_are_stopped(tmp_path: Path) -> None:
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    program = tmp_path / "postgres"  # what counts is the name of the program
    shutil.copy("/bin/sleep", program)
    running = []
    for folder, command in ((here, program), (here, "/bin/sleep"), (elsewhere, program)):
        folder.mkdir(exist_ok=True)
        running.append(subprocess.Popen([str(command), "600"], cwd=folder))
    try:
        assert [process.pid for process in server_processes(here)] == [running[0].pid]
        stop_processes(here)
        assert [process.poll() is None for process in running] == [False, True, True]
    finally:
        for process in running:
            process.kill()
            process.wait()


def test_folder_that_does_not_exist(tmp_path: Path) -> None:
    assert server_processes(tmp_path / "none") == []
    stop_processes(tmp_path / "none")
    assert not os.path.exists(tmp_path / "none")
