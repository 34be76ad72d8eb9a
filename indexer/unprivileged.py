"""Whom the embedded Postgres runs as, since it refuses to run as root.

Nothing is changed on the machine for it: no user is made and no folder opened.
"""

import os
import pwd
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from indexer.errors import GlyphseekError

# Without it the system call access(), by which Postgres looks for its own programs, disregards capabilities.
_KEEP = ("--securebits=+no_setuid_fixup",)


@dataclass(frozen=True)
class ServerUser:
    """User and group number of the server, and what to put before a command to run it as them."""

    uid: int
    gid: int
    prefix: tuple[str, ...] = ()


def choose_user(database_dir: Path, program: Path, folders: Sequence[Path]) -> ServerUser:
    """Return ourselves or, if we are root, somebody else who can get at what the server needs.

    Root's folders are often closed to others (`/root`) and stay so: instead the server, and it alone, gets a
    capability of Linux to go through folders, the narrowest that does.

    Args:
        database_dir: the server's folder; once it exists, its owner is whom the server runs as.
        program: what the server must be able to run; called with `--version`.
        folders: what the server must be able to enter.

    Raises:
        GlyphseekError: we are root and there is no way to run Postgres as somebody else.
    """
    if os.geteuid() != 0:
        return ServerUser(os.geteuid(), os.getegid())
    uid, gid = _unprivileged_ids(database_dir)
    switch = ("setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups")
    script = '"$0" --version && for folder in "$@"; do cd "$folder" || exit 1; done'
    try_out = ("sh", "-c", script, str(program), *map(str, folders))
    for capability in ("", "+dac_read_search", "+dac_override"):  # a container has only the last
        extra = (*_KEEP, f"--inh-caps={capability}", f"--ambient-caps={capability}") if capability else ()
        with suppress(FileNotFoundError):  # this machine has no setpriv
            if subprocess.run([*switch, *extra, *try_out], capture_output=True).returncode == 0:
                return ServerUser(uid, gid, switch + extra)
    needs = ", ".join(map(str, (program, *folders)))
    raise GlyphseekError(
        f"Postgres does not run as root, and user number {uid} cannot get to all of {needs}: "
        "run glyphseek as an ordinary user, or give it the address of another database"
    )


def _unprivileged_ids(database_dir: Path) -> tuple[int, int]:
    """User and group number: the owner of the folder if it exists, else the user `postgres` or `nobody`."""
    with suppress(FileNotFoundError):
        owner = database_dir.stat()
        if owner.st_uid != 0:
            return owner.st_uid, owner.st_gid
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            user = pwd.getpwnam(name)
            return user.pw_uid, user.pw_gid
    raise GlyphseekError("Postgres does not run as root, and there is neither a user postgres nor nobody")
