"""One self-test from beginning to end."""

import os
from collections.abc import Callable
from pathlib import Path
from random import Random

from edge_agent.clock import Clock
from edge_agent.configuration.file import resolve
from edge_agent.owner import as_owner
from edge_agent.selftest import medium
from edge_agent.selftest.controls import controls
from edge_agent.selftest.folder import Folder
from edge_agent.selftest.machine import Machine
from edge_agent.selftest.medium import Spread
from edge_agent.selftest.receiving import Receiving, reader
from edge_agent.selftest.rounds import MakeReceiving, Rounds
from edge_agent.selftest.statement import Statement
from edge_agent.settings import Settings
from edge_agent.store.disk import MB

Told = Callable[[str, int, int], None]  # step, done, of


class SelfTest:
    def __init__(
        self, config: Path, settings: Settings, clock: Clock, told: Told, make: MakeReceiving | None = None
    ) -> None:
        """``make``: another receiving program than the agent's, to see that the test fails with it."""
        self._settings = settings
        self._data_dir = resolve(config, settings.agent.data_dir)
        self._clock = clock
        self._told = told
        made = reader(settings)
        self._make = make or (lambda place: Receiving(place, made))

    def run(self, rounds: int, seed: int, *, keep: bool = False) -> Statement:
        """Raises AgentError when it cannot be done here."""
        with as_owner(self._data_dir), Folder(self._data_dir, self._settings.store) as folder:
            statement = self._run(folder, rounds, seed)
            folder.keep = keep or bool(statement.evidence)
        return statement

    def _run(self, folder: Folder, rounds: int, seed: int) -> Statement:
        began, rng, place = self._clock.now(), Random(seed), folder.path  # noqa: S311  # moments, no secrets
        self._told("looking at the machine", 0, 0)
        machine, mount = Machine.look(self._clock), medium.mount(self._data_dir)
        flush = Spread.of(medium.flushes(place))
        self._told("making faults on purpose", 0, 0)
        made = controls(place, self._settings, rng)

        def told(done: int) -> None:
            folder.refuse_full()
            self._told("killing", done, rounds)

        tally = Rounds(place, self._make, rng, told).run(rounds)
        agent = self._settings.agent
        return Statement(
            site=agent.site,
            gateway=agent.gateway,
            data_dir=str(self._data_dir),
            began=began,
            ended=self._clock.now(),
            rounds=rounds,
            seed=seed,
            tally=tally,
            controls=made,
            machine=machine,
            mount=mount,
            devices=medium.devices(self._data_dir, mount.source),
            flush=flush,
            free_mb=_free_mb(self._data_dir),
            evidence="" if tally.findings.flawless else str(place),
        )


def _free_mb(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize // MB
