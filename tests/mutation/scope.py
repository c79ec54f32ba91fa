"""Which modules are changed, and which tests are asked about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PASS_MARK = 0.85


@dataclass(frozen=True, slots=True)
class Project:
    root: Path
    scope: Sequence[str]  # patterns of module paths
    asked: Sequence[str]  # folders with tests, or test files

    def modules(self) -> list[str]:
        """Paths of the modules, relative to the root; those that hold nothing but prose are left out."""
        found = {path for pattern in self.scope for path in self.root.glob(pattern) if path.name != "__init__.py"}
        return sorted(path.relative_to(self.root).as_posix() for path in found)

    def test_files(self) -> list[str]:
        found = [path for one in self.asked for path in (self.root / one).rglob("test_*.py")]
        return sorted(path.relative_to(self.root).as_posix() for path in found)

    @property
    def kept(self) -> Path:
        """What is remembered between runs."""
        return self.root / ".mutation"

    @property
    def equivalent(self) -> Path:
        return self.root / "tests" / "mutation" / "equivalent.toml"


# Store, de-duplication, acknowledgement, publisher. Tests that run the program as a whole (`tests/end_to_end`) would
# notice more and are not asked: they take too long, and what only they notice is noticed late.
OURS = Project(
    Path(__file__).resolve().parents[2],
    (
        "edge_agent/store/*.py",
        "edge_agent/publisher/*.py",
        "edge_agent/settlement.py",
        "edge_agent/identity.py",
        "edge_agent/intake.py",
        "edge_agent/session.py",
        "edge_agent/states.py",
        "drivers/protocols/lis01.py",
        "drivers/protocols/lis01_frames.py",
        "drivers/protocols/lis01_numbers.py",
        "drivers/protocols/lis01_records.py",
        "drivers/protocols/lis01_table.py",
    ),
    ("tests/edge_agent", "tests/drivers/protocols"),
)


def dotted(module: str) -> str:
    """The name a module is imported by: ``edge_agent/store/outbox.py`` is ``edge_agent.store.outbox``."""
    return module.removesuffix(".py").replace("/", ".")
