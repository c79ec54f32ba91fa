"""Fast tests first, and the time of each tier at the end, so that a tier that outgrows its budget is seen."""

import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import hypothesis
import pytest

# How long an example took says how busy the machine was, and is no reason to fail.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")

TESTS = Path(__file__).parent
BUDGET_S: Mapping[str, int] = {"static and unit": 120, "devices": 120, "real parts": 180, "fault sample": 240}
_BY_FOLDER = {"faults": "fault sample", "end_to_end": "real parts", "fleet": "real parts", "benchmarks": "real parts"}
_BY_FOLDER |= {"deb_package": "real parts", "drivers": "devices", "spoiled": "devices", "judge": "devices"}
_spent: Counter[str] = Counter()


def _tier(path: Path, markers: set[str]) -> str:
    found = _BY_FOLDER.get(path.relative_to(TESTS).parts[0], "static and unit")
    return "real parts" if found == "static and unit" and markers & {"broker", "slow"} else found


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = list(BUDGET_S)
    for item in items:
        item.stash[TIER] = _tier(item.path, {marker.name for marker in item.iter_markers()})
    items.sort(key=lambda item: order.index(item.stash[TIER]))


TIER = pytest.StashKey[str]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item):
    started = time.monotonic()
    try:
        return (yield)
    finally:
        _spent[item.stash[TIER]] += time.monotonic() - started


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    spent = [f"{tier} {_spent[tier]:.0f} s of {budget}" for tier, budget in BUDGET_S.items() if _spent[tier]]
    terminalreporter.write_line("Time: " + ", ".join(spent))
