import os
import subprocess
import sys
from pathlib import Path

import pytest

from indexer.errors import GlyphseekError
from indexer.unprivileged import ServerUser, choose_user

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to give its rights away")


@pytest.mark.skipif(os.geteuid() == 0, reason="root never stays itself")
def test_ordinary_user_stays_itself(tmp_path: Path) -> None:
    user = choose_user(tmp_path, program=Path("/bin/true"), folders=[tmp_path])
    assert user == ServerUser(os.geteuid(), os.getegid(), ())


@as_root
def test_open_folders_need_no_capability(tmp_path: Path) -> None:
    user = choose_user(tmp_path / "none", program=Path("/bin/true"), folders=[Path("/tmp")])
    assert user.uid != 0
    assert user.gid != 0
    assert not any("caps" in part for part in user.prefix)
    ids = subprocess.run([*user.prefix, "id", "-u"], capture_output=True, text=True, check=True).stdout
    assert int(ids) == user.uid


@as_root
def test_closed_folders_are_entered_but_not_opened(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "data").mkdir(parents=True)
    closed.chmod(0o700)
    program = closed / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    user = choose_user(closed / "data/none", program=program, folders=[closed / "data"])
    subprocess.run([*user.prefix, "ls", str(closed / "data")], check=True)
    # Postgres asks the system call access() whether it can run its own programs.
    script = "import os, sys; sys.exit(not os.access(sys.argv[1], os.X_OK))"
    subprocess.run([*user.prefix, sys.executable, "-I", "-c", script, str(program)], check=True)
    assert closed.stat().st_mode & 0o777 == 0o700


@as_root
def test_existing_folder_keeps_its_owner(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 23456)
    user = choose_user(tmp_path, program=Path("/bin/true"), folders=[tmp_path])
    assert (user.uid, user.gid) == (12345, 23456)


@as_root
@pytest.mark.parametrize("path", ["", "/usr/sbin:/usr/bin:/sbin:/bin"])  # without setpriv, and with it
def test_impossible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setenv("PATH", path)
    with pytest.raises(GlyphseekError, match=r"does not run as root.*/no/such"):
        choose_user(tmp_path, program=Path("/bin/true"), folders=[Path("/no/such")])
