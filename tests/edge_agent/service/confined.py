"""Starts a program under the system calls a unit allows and without writable code, as systemd would; needs no systemd.

``python confined.py UNIT PROGRAM ...``. It takes ``SystemCallFilter``, ``SystemCallErrorNumber`` and
``MemoryDenyWriteExecute`` from the unit. Sets of calls are written out by systemd-analyze; the filter is libseccomp's.
"""

import ctypes
import errno
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

_ALLOW = 0x7FFF0000  # SCMP_ACT_ALLOW
_ERRNO = 0x00050000  # SCMP_ACT_ERRNO(n) is this | n
_UNKNOWN = -1  # __NR_SCMP_ERROR
_PR_SET_MDWE, _REFUSE_EXEC_GAIN = 65, 1  # prctl(2), Linux 6.3


@cache
def _sets() -> dict[str, list[str]]:
    listed = subprocess.run(["systemd-analyze", "syscall-filter"], capture_output=True, text=True, check=True).stdout
    found: dict[str, list[str]] = {}
    for line in re.sub(r"(?m)#.*$", "", listed).splitlines():
        if line.startswith("@"):
            found[line.strip()] = current = []
        elif line.strip():
            current.append(line.strip())
    return found


def _written_out(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        if name.startswith("@"):
            yield from _written_out(_sets()[name])
        else:
            yield name


def allowed(unit: str) -> set[str]:
    """The names of the calls: lists are added up in their order, those with "~" taken away."""
    calls: set[str] = set()
    for value in re.findall(r"(?m)^SystemCallFilter=(.*)$", unit):
        named = set(_written_out(value.removeprefix("~").split()))
        calls = calls - named if value.startswith("~") else calls | named
    # systemd allows what it needs itself to start a program.
    return calls | set(_written_out(["@default"]))


def confine(unit: str) -> None:
    """This process and what it becomes."""
    number = re.findall(r"(?m)^SystemCallErrorNumber=(\w+)$", unit)[-1]
    seccomp = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    seccomp.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(seccomp.seccomp_init(_ERRNO | getattr(errno, number)))
    for name in sorted(allowed(unit)):
        call = seccomp.seccomp_syscall_resolve_name(name.encode())
        if call != _UNKNOWN:
            seccomp.seccomp_rule_add(context, _ALLOW, call, 0)
    if re.search(r"(?m)^MemoryDenyWriteExecute=yes$", unit):
        ctypes.CDLL(None).prctl(_PR_SET_MDWE, _REFUSE_EXEC_GAIN, 0, 0, 0)
    if seccomp.seccomp_load(context):
        raise SystemExit("The filter of system calls could not be loaded.")


if __name__ == "__main__":
    confine(Path(sys.argv[1]).read_text(encoding="utf-8"))
    os.execv(sys.argv[2], sys.argv[2:])
