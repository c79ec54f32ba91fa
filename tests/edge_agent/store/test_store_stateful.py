"""The store and the model walk the same random ways and must agree after every step, reopenings included."""

import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from store_helpers import IDENTITY, StillClock, digest, frame, key, source
from store_model import MemoryStore

from edge_agent.states import IllegalTransitionError, ItemState, MessageState, TransmissionEvent
from edge_agent.store.errors import RefusedError
from edge_agent.store.rows import NewGroup, NewMessage, NewObservation, Route, Settlement
from edge_agent.store.store import Store

ANALYSERS = st.sampled_from(["xn1", "dx2"])
SPECIMENS = st.sampled_from(["A", "B", "C"])
VALUES = st.lists(st.sampled_from(["v1", "v2", "v3", "v4"]), min_size=1, max_size=3, unique=True)
HOLDS = st.lists(st.sampled_from(["unknown-test-held", "unit-contradicts", ""]), min_size=3, max_size=3)
CHOICE = st.integers(0, 10_000)
UNDER_TEST = (RefusedError, IllegalTransitionError)


class BothStores(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.clock = StillClock()
        self.folder = tempfile.TemporaryDirectory()
        self.store = self.open()
        self.model = MemoryStore(self.clock, IDENTITY)

    def open(self) -> Store:
        return Store.open(
            Path(self.folder.name) / "data",
            self.clock,
            reserve_mb=0,
            low_water_mb=0,
            allow_unsafe=True,
            new_identity=lambda: IDENTITY,
        )

    def both(self, call: Callable[[object], object]) -> object:
        """Do the same to both; the same answer or the same refusal."""
        answers: list[object] = []
        for one in (self.store, self.model):
            try:
                answers.append(call(one))
            except UNDER_TEST as error:
                answers.append(type(error))
        assert answers[0] == answers[1]
        return answers[0]

    def some_message(self, choice: int) -> str:
        return self.model.rows[choice % len(self.model.rows)].id

    @rule(minutes=st.sampled_from([1, 6, 31, 61, 1500]))
    def time_passes(self, minutes: int) -> None:
        self.clock.advance(minutes=minutes)

    @rule(analyser=ANALYSERS)
    def a_transmission_begins(self, analyser: str) -> None:
        number = self.both(lambda s: s.open_transmission(source(analyser)))
        self.both(lambda s: s.append(number, [frame(), frame(b"P|1\r", 2)]).chunks)

    @precondition(lambda self: self.model.opened)
    @rule(choice=CHOICE, event=st.sampled_from([TransmissionEvent.ENDED, TransmissionEvent.BROKEN]))
    def a_transmission_ends(self, choice: int, event: TransmissionEvent) -> None:
        self.both(lambda s: s.end(1 + choice % self.model.opened, event, "L"))

    @precondition(lambda self: self.model.next_unconverted())
    @rule(specimen=SPECIMENS, values=VALUES, holds=HOLDS, stat=st.booleans(), graphics=st.booleans(), choice=CHOICE)
    def a_transmission_is_converted(self, specimen, values, holds, stat, graphics, choice) -> None:
        (transmission, *_) = self.model.next_unconverted()
        analyser = transmission.source.analyser
        known = self.both(lambda s: s.lookup(analyser, [key(v) for v in values]))
        (reserved,) = self.both(lambda s: s.reserve(1))
        observations = []
        for value, hold in zip(values, holds, strict=False):
            # Now and then an equal one without a result time, long after the first: it is new again.
            old = known.get(key(value))
            own = [
                o.key for s in self.model.specimens if s.transmission == transmission.id for o in s.group.observations
            ]
            as_new = choice % 3 == 0 and old and old.transmission != transmission.id and key(value) not in own
            if old and not as_new:
                row = NewObservation(key(value), value, ItemState.DUPLICATE, message_id=old.message_id)
            elif hold:
                row = NewObservation(key(value), value, ItemState.HELD, hold)
            else:
                row = NewObservation(key(value), value, ItemState.CONVERTED, message_id=reserved.id)
            observations.append(row)
        states = {o.state for o in observations}
        sends = ItemState.CONVERTED in states
        state = ItemState.CONVERTED if sends else ItemState.HELD if ItemState.HELD in states else ItemState.DUPLICATE
        outgoing = NewMessage(
            reserved.id,
            reserved.at,
            analyser,
            Route.RESULT,
            digest(f"{analyser}/{specimen}"),
            specimen.encode(),
            stat=stat,
            graphics=graphics,
            replaces=self.some_message(choice) if self.model.rows and choice % 5 == 0 else "",
        )
        group = NewGroup(specimen, "P", state, "", "", stat, tuple(observations), (outgoing,) if sends else ())
        broken = [t.id for t in self.model.interrupted(analyser) if t.id != transmission.id]
        settlement = Settlement(
            transmission.id,
            (group,),
            replays=tuple(dict.fromkeys(k.message_id for k in known.values())) if state is ItemState.DUPLICATE else (),
            completes=tuple(broken[:1]),
            holds=(("no-header", ""),) if choice % 7 == 0 else (),
        )
        self.both(lambda s: s.settle(settlement))

    @precondition(lambda self: self.model.held())
    @rule(code=st.sampled_from([None, "unknown-test-held", "unit-contradicts"]))
    def somebody_releases(self, code: str | None) -> None:
        self.both(lambda s: s.release(code=code, who="tech", note="fixed"))

    @precondition(lambda self: self.model.ready(3))
    @rule()
    def the_publisher_sends(self) -> None:
        for row in self.model.ready(3):
            self.both(lambda s, id_=row.id: s.published(id_, replay="original"))
            self.both(lambda s, id_=row.id: s.puback(id_, 0))

    @precondition(lambda self: self.model.rows)
    @rule(choice=CHOICE, code=st.sampled_from(["AA", "AA", "AE", "AR"]), same=st.sampled_from([True, None, False]))
    def an_answer_comes(self, choice: int, code: str, same: bool | None) -> None:
        id_ = self.some_message(choice)
        self.both(lambda s: s.acknowledged(id_, code=code, detail="d", consumer="ivd", digest_ok=same))

    @precondition(lambda self: self.model.rows)
    @rule(choice=CHOICE, what=st.sampled_from(["refused", "block", "requeue", "set_aside", "timed_out"]))
    def something_else_happens(self, choice: int, what: str) -> None:
        id_ = self.some_message(choice)
        calls: dict[str, Callable[..., object]] = {
            "refused": lambda s: s.puback(id_, 0x87, "not authorised"),
            "block": lambda s: s.block(id_, "0x95", "too large"),
            "requeue": lambda s: s.requeue(id_, replay="operator", who="tech", note="n"),
            "set_aside": lambda s: s.set_aside(id_, who="tech", note="n"),
            "timed_out": lambda s: s.timed_out(id_),
        }
        self.both(calls[what])

    @rule(days=st.sampled_from([0, 1]))
    def old_things_go(self, days: int) -> None:
        before = {
            "filed_before": self.clock.now() - timedelta(days=days),
            "identities_before": self.clock.now() - timedelta(days=days),
        }
        while self.store.purge(**before, step_rows=3):
            pass
        self.model.purge(**before)

    @rule()
    def the_agent_starts_again(self) -> None:
        self.store.close()
        self.store = self.open()
        assert self.store.former is None
        self.both(lambda s: s.close_orphans())

    @invariant()
    def both_agree(self) -> None:
        states = tuple(MessageState)
        self.both(lambda s: s.counts())
        self.both(lambda s: s.messages(states=states))
        self.both(lambda s: s.next_unconverted())
        self.both(lambda s: s.ready(10))
        self.both(lambda s: s.ready(2, unanswered_before=self.clock.now() - timedelta(minutes=10)))
        self.both(lambda s: s.ready(2, newest_since=self.clock.now()))
        self.both(lambda s: [_but_id(g) for g in s.held()])
        in_flight = [row.id for row in self.model.ready(2)]
        self.both(lambda s: s.ready(10, skip=in_flight))
        for row in self.model.rows[-3:]:
            self.both(lambda s, id_=row.id: s.attempts(id_))

    @invariant()
    def the_sequence_has_no_gap_and_the_chain_holds(self) -> None:
        assert self.store.verification().run() is None
        for analyser in ("xn1", "dx2"):
            given = [r.sequence for r in self.store.messages(states=tuple(MessageState), analyser=analyser)]
            assert given == sorted(set(given))
        assert _uncounted(self.store) == []

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()


def _but_id(group: object) -> tuple[object, ...]:
    return tuple(getattr(group, name) for name in group.__slots__ if name != "id")


def _uncounted(store: Store) -> list[str]:
    """Counters that differ from what counting finds."""
    found = []
    checks = {
        "message": "SELECT state, count(*) FROM outbox GROUP BY state",
        "held": "SELECT analyser, sum(held) FROM specimen_group GROUP BY analyser",
        "failed": "SELECT analyser, sum(failed) FROM specimen_group GROUP BY analyser",
        "interrupted": "SELECT analyser, sum(state = 'interrupted') FROM transmission GROUP BY analyser",
    }
    for kind, sql in checks.items():
        counted = {name: count for name, count in store.database.rows(sql) if count}
        kept = dict(store.database.rows("SELECT name, value FROM counter WHERE kind = ? AND value <> 0", (kind,)))
        if counted != kept:
            found.append(f"{kind}: {counted} counted, {kept} kept")
    return found


BothStores.TestCase.settings = settings(
    max_examples=12, stateful_step_count=40, deadline=None, derandomize=True, database=None
)
TestBothStores = BothStores.TestCase
