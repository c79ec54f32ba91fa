"""One summary for all harnesses, printed at the end and written to the file of outcomes."""

import pytest
from faults import ability, scale
from faults.damaged_store import Base, made
from faults.outcomes_file import Outcomes
from faults.page import lines

_OUTCOMES = Outcomes()


@pytest.fixture
def outcomes(request: pytest.FixtureRequest) -> Outcomes:
    _OUTCOMES.begin(request.path.stem)
    return _OUTCOMES


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    """A store an agent left when it was killed, made once."""
    return made(tmp_path_factory.mktemp("base"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A sample has tests marked ``every(n)`` in one turn of n; which one is drawn from the test's name."""
    later = [item for item in items if not scale.has_its_turn(item)]
    if later:
        config.hook.pytest_deselected(items=later)
        items[:] = [item for item in items if item not in set(later)]


def pytest_sessionfinish() -> None:
    _OUTCOMES.write()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not list(_OUTCOMES) and not ability.MISSING:
        return
    size = "everything" if scale.FULL else f"turn {scale.turn()} of {scale.TURNS}"
    terminalreporter.section(f"faults: {size}, FAULTS_SEED={scale.seed()}")
    for line in lines(_OUTCOMES):
        terminalreporter.write_line(line)
    for name, why in ability.MISSING.items():
        terminalreporter.write_line(f"missing: {name}: {why}")
