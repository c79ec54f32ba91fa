"""From validation to production: what is shown before, what is written, and what stays validation."""

import json
import os
import pwd
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support_conversion import reader
from support_gateway import CONFIG, Gateway, gateway
from support_pipeline import GENERIC, device, policy, records, source

from edge_agent.cli.main import main
from edge_agent.decisions.promotion import Promotion
from edge_agent.errors import AgentError
from edge_agent.pins import pinned
from edge_agent.store.rows import Route

HEADER = r"H|\^&|||BENCH-7|||||||P|LIS02-A2|20240612120000"
NA = "R|1|^^^NA|140|mmol/L||N||F||||20240612102000"
GLU = "R|2|^^^GLU|5.1|mmol/L||N||F||||20240612102000"
NA_ROW = {"code": "NA", "source": "made up for this test"}
ME = pwd.getpwuid(os.getuid()).pw_name


def text(specimen: str, *results: str) -> bytes:
    return records(HEADER, "P|1||P-1017", f"O|1|{specimen}||^^^NA|R", *results, "L|1|N")


class Bench:
    """A gateway whose analyser is in validation, and whose configuration file says so with a remark."""

    def __init__(self, made: Gateway) -> None:
        self.made = made
        self.taken: list[str] = []
        made.config.write_text(CONFIG.replace('mode = "production"', 'mode = "validation" # still'), encoding="utf-8")
        self.pins = made.data_dir / "profiles"
        pinned(self.pins, "an1", GENERIC)
        promotion = Promotion(made.config, self.pins, made.bench.store, made.bench.readers, self._reload)
        made.answers.update(promotion.answers())  # type: ignore[arg-type]  # the tables have one kind of function

    async def _reload(self, who: str) -> dict[str, Any]:
        self.taken.append(self.file())
        return {"sentence": "1 analyser was started anew."}

    def file(self) -> str:
        return self.made.config.read_text(encoding="utf-8")

    def received(self, *texts: bytes, mode: str = "validation") -> None:
        for each in texts:
            self.made.bench.receive(each, of=source(mode=mode))
        self.made.bench.convert()

    def evidence(self) -> Any:
        return self.made.answer("mode", analyser="an1")

    def runs_in(self, mode: str) -> None:
        """As after a reload."""
        made = self.made.bench
        made.converter.stop()
        made.readers["an1"] = reader(under=policy(mode=mode))
        made.converter = made.make()
        made.converter.start()

    def audited(self) -> list[dict[str, str]]:
        entries = self.made.bench.do(lambda s: s.audit_entries(limit=1000))
        return [dict(e.facts) for e in entries if e.kind == "mode-decided"]

    def command(self, *words: object) -> Result:
        words = ("production", "an1", *words, "--config", self.made.config)
        return CliRunner().invoke(main, [*map(str, words)], catch_exceptions=False)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with gateway(tmp_path, reader(under=policy(mode="validation"))) as made:
        yield Bench(made)


def test_the_evidence_of_a_validation(tmp_path: Path) -> None:
    nameless = records(HEADER, "P|1||P-1017", "O|1|||^^^NA|R", NA, "L|1|N")
    by = device(test=[NA_ROW])
    with gateway(tmp_path, reader(by, policy(mode="validation"))) as made:
        bench = Bench(made)
        (bench.pins / "an1.json").unlink()
        pinned(bench.pins, "an1", by)
        bench.received(text("S24-0027", NA), mode="production")  # long ago, before it went back to validation
        bench.received(text("S24-0028", NA), text("S24-0029", NA, GLU), nameless)
        first, second = (m.id for m in made.bench.messages() if m.route is Route.VALIDATION)
        made.bench.file(first)
        made.bench.do(lambda s: s.acknowledged(second, code="AE", detail="", consumer="ivd", digest_ok=True))
        found = bench.evidence()
    assert (found["configured"], found["running"], found["transmissions"]) == ("validation", "validation", 3)
    assert found["since"]
    assert found["messages"] == {"filed": 1, "rejected": 1}
    assert found["held"] == {"no-specimen-id": 1}
    assert (found["unknown_tests"], found["looked_through"]) == (["GLU"], 4)
    assert (found["revision"], found["grade"], found["hash"]) == (1, "drafted", by.hash)
    assert found["newer_profile"] == GENERIC.hash


def test_an_analyser_that_has_sent_nothing_has_no_evidence(bench: Bench) -> None:
    found = bench.evidence()
    assert (found["since"], found["transmissions"], found["messages"], found["held"]) == ("", 0, {}, {})
    assert "Nothing was changed." in bench.command().stdout


def test_a_person_says_production(bench: Bench) -> None:
    before = bench.file()
    done = bench.command("--yes", "--note", "40 results compared, protocol 7")
    assert (done.exit_code, done.stderr) == (0, "")
    assert bench.file() == before.replace('mode = "validation" # still', 'mode = "production" # still')
    assert bench.taken == [bench.file()]  # the file first, then the agent
    assert bench.audited() == [
        {
            "analyser": "an1",
            "from": "validation",
            "to": "production",
            "profile": "lis02_generic",
            "hash": GENERIC.hash,
            "who": ME,
            "note": "40 results compared, protocol 7",
        }
    ]
    back = bench.command("--back", "--yes", "--note", "new reagent")
    assert back.exit_code == 0
    assert bench.file() == before


def test_looking_changes_nothing(bench: Bench) -> None:
    before = bench.file()
    assert bench.command().exit_code == 0
    assert json.loads(bench.command("--json").stdout)["configured"] == "validation"
    assert (bench.file(), bench.taken, bench.audited()) == (before, [], [])


@pytest.mark.parametrize("words", [("--yes",), ("--note", "x"), ("--yes", "--note", " ")])
def test_half_a_decision_is_wrong_usage(bench: Bench, words: tuple[str, ...]) -> None:
    assert bench.command(*words).exit_code == 2
    assert bench.audited() == []


def test_what_is_so_already_is_refused_and_not_written_down(bench: Bench) -> None:
    before = bench.file()
    refused = bench.command("--back", "--yes", "--note", "x")
    assert refused.exit_code == 1
    assert "[mode]" in refused.stderr
    assert (bench.file(), bench.audited()) == (before, [])


def test_a_file_that_cannot_be_written_is_named_with_the_line_to_write(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_allowed(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    before = bench.file()
    monkeypatch.setattr("edge_agent.decisions.mode_line.os.open", not_allowed)
    refused = bench.command("--yes", "--note", "x")
    assert refused.exit_code == 1
    assert "[write-by-hand]" in refused.stderr
    assert 'id = "an1": mode = "production"' in refused.stderr
    assert (bench.file(), bench.audited(), bench.taken) == (before, [], [])


def test_a_link_to_the_file_stays_a_link(bench: Bench, tmp_path: Path) -> None:
    link = tmp_path / "link.toml"
    link.symlink_to(bench.made.config)
    words = ["production", "an1", "--yes", "--note", "x", "--config", str(link)]
    assert CliRunner().invoke(main, words, catch_exceptions=False).exit_code == 0
    assert link.is_symlink()
    assert 'mode = "production"' in bench.file()


@pytest.mark.parametrize("name", ["mode", "mode-decided"])
def test_an_analyser_that_is_not_configured_is_refused(bench: Bench, name: str) -> None:
    with pytest.raises(AgentError) as caught:
        bench.made.answer(name, analyser="xn9", mode="production", note="x")
    assert caught.value.code == "unknown-analyser"


# What was received before stays what it was


def routes(bench: Bench) -> list[str]:
    return [m.route.value for m in bench.made.bench.messages()]


def test_what_was_received_in_validation_never_reaches_the_result_route(bench: Bench) -> None:
    """Queued, not yet converted, and held with a release after the change."""
    nameless = records(HEADER, "P|1||P-1017", "O|1|||^^^NA|R", NA, "L|1|N")
    bench.received(text("S24-0028", NA), nameless)
    bench.made.bench.converter.stop()
    bench.made.bench.receive(text("S24-0029", NA), of=source(mode="validation"))
    bench.runs_in("production")
    assert bench.made.bench.release() == 1
    bench.made.bench.convert()
    assert routes(bench) == ["validation", "validation"]
    assert all(b"|T|2.5.1" in m.payload for m in bench.made.bench.messages())
    # the negative control: what comes after is a patient's result, also when the sample was sent before
    bench.received(text("S24-0028", NA), mode="production")
    assert routes(bench) == ["validation", "validation", "result"]


def test_what_was_received_in_production_goes_where_it_was_to_go(tmp_path: Path) -> None:
    """Acknowledged as a patient's result; going back to validation must not make a trial of it."""
    with gateway(tmp_path, reader(under=policy(mode="production"))) as made:
        bench = Bench(made)
        made.bench.converter.stop()
        made.bench.receive(text("S24-0028", NA), of=source(mode="production"))
        bench.runs_in("validation")
        made.bench.convert()
        bench.received(text("S24-0029", NA))
        assert routes(bench) == ["result", "validation"]
