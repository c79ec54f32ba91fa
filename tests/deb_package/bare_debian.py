"""A Debian 12 with nothing on it, booted with its own systemd in namespaces of its own.

The first one is made by debootstrap and kept (``~/.cache/ivd-edge-agent/debian-12``), with the archive's packages that
a walk will ask apt for. What runs is a copy, without any network: what the package needs it has, or Debian has. Needs
root, Linux namespaces and a cgroup2 mount; ``missing`` says what of that is not there.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

MIRROR = os.environ.get("DEBIAN_MIRROR", "http://deb.debian.org/debian")
FETCHED = ("python3", "mosquitto")
BOOT = Path(__file__).with_name("boot.sh")
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ENVIRONMENT = ("env", "-i", _PATH, "HOME=/root", "TERM=dumb", "LANG=C.UTF-8", "DEBIAN_FRONTEND=noninteractive")


def missing() -> str:
    """Why no Debian can be booted here, or ""."""
    if os.geteuid() != 0:
        return "only root can boot a Debian in namespaces of its own"
    lacking = [name for name in ("debootstrap", "unshare", "nsenter", "setpriv") if shutil.which(name) is None]
    if lacking:
        return f"{' and '.join(lacking)} not installed"
    return "" if _cgroup2() else "no cgroup2 is mounted"


def _cgroup2() -> Path | None:
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines())
    return next((Path(fields[1]) for fields in mounts if fields[2] == "cgroup2"), None)


def bare_root() -> Path:
    """The kept one: never booted, never changed."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    kept = home / "ivd-edge-agent" / "debian-12"
    if kept.is_dir():
        return kept
    partial = kept.with_name("debian-12.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    _do("debootstrap", "--variant=minbase", "--include=systemd-sysv,dbus", "bookworm", partial, MIRROR)
    resolver = partial / "etc" / "resolv.conf"
    resolver.unlink(missing_ok=True)
    shutil.copy("/etc/resolv.conf", resolver)
    _do("chroot", partial, *_ENVIRONMENT, "apt-get", "update", "-qq")
    _do("chroot", partial, *_ENVIRONMENT, "apt-get", "install", "-qq", "-y", "--download-only", *FETCHED)
    resolver.write_text("", encoding="utf-8")
    partial.rename(kept)
    return kept


def copy_of_it(folder: Path) -> Path:
    root = folder / "root"
    _do("cp", "-a", "--reflink=auto", bare_root(), root)
    return root


def _do(*words: str | Path) -> None:
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, f"{' '.join(map(str, words))}\n{done.stdout[-4000:]}"


def in_chroot(root: Path, script: str) -> str:
    """Without a running systemd, as where images are made. What it printed; fails where a command fails."""
    return _checked(subprocess.Popen(["chroot", root, *_ENVIRONMENT, *_shell(script)], **_TALK), script)


_TALK = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}


def _shell(script: str) -> tuple[str, ...]:
    return ("bash", "-euo", "pipefail", "-c", f"cd /root\n{script}")


def _checked(process: subprocess.Popen[str], script: str) -> str:
    output = process.communicate()[0]
    assert process.returncode == 0, f"exit status {process.returncode} of\n{script}\n{output[-6000:]}"
    return output


class Machine:
    """A booted Debian. Commands are root's, in /root."""

    def __init__(self, root: Path, first: int) -> None:
        self.root = root
        self._enter = ("nsenter", "--target", str(first), "--all", "--root", "--wd", *_ENVIRONMENT)

    def start(self, script: str) -> subprocess.Popen[str]:
        return subprocess.Popen([*self._enter, *_shell(script)], **_TALK)

    def run(self, script: str) -> str:
        """What it printed. Fails where any command of it fails."""
        return _checked(self.start(script), script)

    def holds(self, script: str) -> bool:
        """Whether it ends with exit status 0."""
        process = self.start(script)
        process.communicate()
        return process.returncode == 0

    def becomes(self, script: str, patience_s: float = 120.0) -> None:
        until(lambda: self.holds(script), script, patience_s)


def until(condition: Callable[[], object], what: str, patience_s: float = 120.0) -> None:
    end = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end, f"did not come about in {patience_s:g} s: {what}"
        time.sleep(0.2)


@contextmanager
def booted(folder: Path) -> Iterator[Machine]:
    """A copy of the bare Debian, running; gone afterwards with everything that ran in it."""
    root = copy_of_it(folder)
    mounted = _cgroup2()
    assert mounted is not None
    group = mounted / f"bare-debian-{os.getpid()}"
    group.mkdir()
    with (folder / "boot.log").open("wb") as log:
        process = subprocess.Popen(["bash", BOOT, root, group], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        until(lambda: process.poll() is not None or _child(process.pid) is not None, "systemd is started")
        first = _child(process.pid)
        assert first is not None, (folder / "boot.log").read_text(encoding="utf-8")
        machine = Machine(root, first)
        machine.becomes("systemctl is-system-running")
        yield machine
    finally:
        process.kill()  # PID 1 of the namespace goes with it (--kill-child), and with PID 1 everything else
        process.wait()
        until(lambda: _emptied(group), "its control groups are empty")


def _child(process: int) -> int | None:
    children = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="utf-8").split()
    return int(children[0]) if children else None


def _emptied(group: Path) -> bool:
    try:
        for inner in sorted(group.rglob("*/"), key=lambda path: len(path.parts), reverse=True):
            inner.rmdir()
        group.rmdir()
    except OSError:
        return False
    return True
