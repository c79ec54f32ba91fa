"""A disk that takes 5 ms per sync: 64 links that share commits, against one commit per frame."""

import shutil
import subprocess
from tempfile import TemporaryDirectory

from benchmarks.kit import ROOT, Finding, Sample, Size, child, interleaved, ratios

LEAST = 5.0
DELAY_US = 5000
SOURCE = ROOT / "tests" / "benchmarks" / "reference" / "slow_sync.c"


def measure(size: Size) -> list[Finding]:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        return [Finding("slow-disk", "not measured: it needs a C compiler", "-", None)]
    with TemporaryDirectory(dir=size.folder) as folder:
        shim = size.folder / folder / "slow_sync.so"
        subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", str(shim), str(SOURCE), "-ldl"], check=True)
        env = {"LD_PRELOAD": str(shim), "SYNC_DELAY_US": str(DELAY_US)}
        with child("slow_disk_store", str(size.folder / folder), **env) as store:
            frames = size.links * max(1, size.messages // 2)
            told: dict[str, list[float]] = {"group": [], "single": []}
            found = interleaved(
                {
                    "group": lambda: _rate(store.ask(f"group {size.links} {frames}"), told["group"]),
                    "single": lambda: _rate(store.ask(f"single 1 {max(2, frames // 8)}"), told["single"]),
                },
                size.repeats,
            )
    ratio = ratios(found["group"], found["single"])
    syncs = {name: Sample(tuple(values)) for name, values in told.items()}
    more = (f"syncs per frame: {syncs['group'].show('')} together, {syncs['single'].show('')} one by one",)
    measured = f"{ratio.show('x')} ({found['group'].show('frames/s')})"
    reference = f"one commit per frame {found['single'].show('frames/s')}"
    return [Finding("slow-disk", measured, reference, ratio.median >= LEAST, more)]


def _rate(told: list[float], syncs: list[float]) -> float:
    rate, per_frame = told
    assert per_frame > 0, "the slow disk is not in effect"
    syncs.append(per_frame)
    return rate
