"""Working on the data directory as its owner, so that the agent can still read what a command run by root wrote."""

import contextlib
import os
import pwd
from collections.abc import Iterator
from pathlib import Path

USER = "edge-agent"


@contextlib.contextmanager
def as_owner(data_dir: Path) -> Iterator[None]:
    """Whose the directory is; where there is none yet, the service's user where this system has it. Root only.

    Of the whole process, so not for the agent.
    """
    uid, gid = _owner(data_dir)
    if os.geteuid() != 0 or uid == 0:
        yield
        return
    group = os.getegid()
    os.setegid(gid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)


def _owner(data_dir: Path) -> tuple[int, int]:
    if data_dir.is_dir():
        found = data_dir.stat()
        return found.st_uid, found.st_gid
    try:
        entry = pwd.getpwnam(USER)
    except KeyError:
        return os.geteuid(), os.getegid()
    return entry.pw_uid, entry.pw_gid


def give(folder: Path) -> None:
    """A directory that was just made goes to the service's user, where root made it and this system has that user."""
    try:
        entry = pwd.getpwnam(USER)
    except KeyError:
        return
    if os.geteuid() == 0:
        os.chown(folder, entry.pw_uid, entry.pw_gid)
