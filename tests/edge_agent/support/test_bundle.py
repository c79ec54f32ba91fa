"""A support bundle helps to find a fault and names no patient, whatever state results are in."""

import base64
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support_broker import Authority
from support_conversion import reader
from support_gateway import CONFIG, Gateway, gateway
from support_pipeline import device, records, source

from edge_agent.cli.main import main
from edge_agent.configuration.file import load
from edge_agent.states import TransmissionEvent
from edge_agent.store.rows import Chunk, ChunkKind
from edge_agent.support import redaction
from edge_agent.support.bundle import CONTENTS

NAME, KOREAN, PATIENT, SPECIMEN, VALUE = "KIMCANARY", "홍길동", "PCANARY-7731", "S24-CANARY-90", "140.77317"
CANARIES = (NAME, KOREAN, PATIENT, SPECIMEN, VALUE)
HEADER = r"H|\^&|||BENCH-7|||||||P|LIS02-A2|20240612120000"
GLUCOSE = {"code": "GLU", "units": {"mg/dL": "mg/dL"}, "source": "made up for this test"}


def message(*, specimen: str = SPECIMEN, code: str = "NA", unit: str = "mmol/L", name: str = NAME) -> bytes:
    return records(
        HEADER,
        f"P|1|{PATIENT}|||{name}^{KOREAN}||19700101|M",
        f"O|1|{specimen}||^^^{code}|R",
        f"R|1|^^^{code}|{VALUE}|{unit}||N||F||||20240612102000",
        f"C|1|I|{NAME} {KOREAN}|G",
        "L|1|N",
    )


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Gateway]:
    """Canary patients in every state: queued, filed, rejected, held, undecodable, interrupted, refused, set aside."""
    with gateway(tmp_path, reader(device(test=[GLUCOSE]))) as running:
        bench = running.bench
        bench.receive(message())
        bench.receive(message(specimen=f"{SPECIMEN}1"))
        bench.receive(message(specimen=f"{SPECIMEN}2"))
        bench.receive(message(specimen=f"{SPECIMEN}3"))
        bench.receive(message(specimen=""))  # held: no specimen id
        bench.receive(message(code="GLU"))  # held: the unit contradicts
        bench.receive(message().decode().encode("euc-kr"))  # undecodable
        bench.receive(message(), event=TransmissionEvent.BROKEN)
        bench.receive(f"{NAME} {KOREAN} {SPECIMEN}".encode())  # no records at all
        bench.convert()
        running.bench.do(refused)
        rejected, aside, filed, *_ = [m.id for m in bench.messages()]
        quoted = f"{NAME} {KOREAN} {PATIENT} {VALUE} is not known"
        bench.do(lambda s: s.acknowledged(rejected, code="AE", detail=quoted, consumer="ivd", digest_ok=None))
        bench.do(lambda s: s.set_aside(aside, who=NAME, note=quoted))
        bench.file(filed)
        bench.do(
            lambda s: s.database.execute(
                "UPDATE outbox SET code = ?, reason = ? WHERE id = ?", (NAME, quoted, rejected)
            )
        )
        bench.do(lambda s: s.database.execute("UPDATE attempt SET code = ?, what = what", (PATIENT,)))
        failed = "UPDATE observation SET state = 'failed', hold = ?, detail = ? WHERE hold = 'unit-contradicts'"
        bench.do(lambda s: s.database.execute(failed, (PATIENT, quoted)))
        bench.do(lambda s: s.audit("set-aside", {"who": NAME, "note": quoted}))
        bench.do(lambda s: s.database.set_fact("last_backup", f"1 /media/{SPECIMEN}.tar"))
        running.alarms.raise_("rejected", "an1", count="1", reason=quoted)
        yield running


def refused(store) -> None:
    number = store.open_transmission(source())
    raw = message()
    store.append(number, [Chunk(ChunkKind.REFUSED, raw, reason=f"{NAME} {VALUE}"), Chunk(ChunkKind.NOISE, raw)])
    store.end(number, TransmissionEvent.BROKEN, f"{SPECIMEN}")


def edge_agent(*words: object) -> Result:
    return CliRunner().invoke(main, [str(w) for w in words], catch_exceptions=False)


def bundled(config: Path, log: Path | None = None) -> dict[str, bytes]:
    """Names and contents of a bundle's files."""
    more = ("--log", log) if log else ()
    result = edge_agent("support-bundle", config.parent, "--yes", "--json", "--config", config, *more)
    assert result.exit_code == 0, result.output
    file = Path(json.loads(result.stdout)["file"])
    assert file.stat().st_mode & 0o777 == 0o600
    with tarfile.open(file) as tar:
        return {Path(m.name).name: tar.extractfile(m).read() for m in tar}  # type: ignore[union-attr]  # all are files


def forms(canary: str) -> Iterator[bytes]:
    """As it could be written: plain, in other character sets, escaped, in hex, in base64 at any offset."""
    for charset in ("utf-8", "euc-kr", "utf-16-le", "utf-16-be"):
        raw = canary.encode(charset)
        yield from (raw, raw.hex().encode(), raw.hex().upper().encode())
        for offset in range(3):
            # The characters that do not depend on what stands before or after.
            yield base64.b64encode(bytes(offset) + raw)[4 if offset else 0 : (offset + len(raw)) // 3 * 4]
    yield json.dumps(canary)[1:-1].encode()


def hits(files: dict[str, bytes]) -> set[tuple[str, str]]:
    """(file, canary) wherever one is found."""
    return {(name, c) for name, content in files.items() for c in CANARIES for form in forms(c) if form in content}


def write_log(folder: Path, *lines: str) -> Path:
    path = folder / "agent.log"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


LOG = (
    "2024-06-12 12:00:00,000 INFO edge_agent.agent: Running: site seoul-01, gateway gw-01.",
    '{"ts": "2024-06-12T03:00:00.000+00:00", "level": "INFO", "logger": "edge_agent.agent", "message": "Stopped."}',
    # What others write into the same journal, and what an exception says in its own words
    f"kernel: {NAME} {KOREAN}",
    f'{{"ts": "", "level": "INFO", "logger": "other", "message": "{SPECIMEN}"}}',
    f"2024-06-12 12:00:01,000 CRITICAL edge_agent.agent: The part ended by itself.\\x0aValueError: {VALUE} {PATIENT}",
    json.dumps({"ts": "", "level": "ERROR", "logger": "edge_agent", "message": f"x\nValueError: {NAME}", "more": NAME}),
)


def test_no_canary_is_in_the_bundle(made: Gateway, tmp_path: Path) -> None:
    files = bundled(made.config, write_log(tmp_path, *LOG))
    assert set(files) == set(CONTENTS)
    assert hits(files) == set()


@pytest.mark.parametrize("canary", CANARIES)
def test_the_search_finds_a_canary_in_a_field_that_is_let_through(made: Gateway, tmp_path: Path, canary: str) -> None:
    """The negative control: the log's own lines are believed."""
    line = f"2024-06-12 12:00:00,000 INFO edge_agent.agent: {canary}"
    assert hits(bundled(made.config, write_log(tmp_path, line))) == {("log.txt", canary)}


@pytest.mark.parametrize("canary", CANARIES)
def test_the_search_knows_other_ways_to_write_a_canary(canary: str) -> None:
    raw = canary.encode("euc-kr")
    written = (raw, raw.hex().encode(), *(base64.b64encode(b"x" * n + raw + b"rest") for n in range(3)))
    for text in written:
        assert ("x", canary) in hits({"x": text})


def test_the_store_holds_every_canary(made: Gateway) -> None:
    """They were there to be found."""
    traced = json.dumps([made.answer("trace", id=f"t{n}") for n in range(1, 10)], ensure_ascii=False)
    assert all(canary in traced for canary in CANARIES)


def test_it_says_what_is_needed_to_find_a_fault(made: Gateway, tmp_path: Path) -> None:
    files = {name: content.decode() for name, content in bundled(made.config, write_log(tmp_path, *LOG)).items()}
    waiting, store = json.loads(files["waiting.json"]), json.loads(files["store.json"])
    assert {m["state"] for m in waiting["messages"]} == {"queued", "rejected"}
    assert waiting["messages"][0]["attempts"] == [] or waiting["messages"][0]["attempts"][0]["code"] == redaction.OTHER
    holds = {hold for line in waiting["held"] for hold in line["holds"]}
    assert {"no-specimen-id", "undecodable", redaction.OTHER} <= holds
    assert {m["state"]: m["count"] for m in store["messages"]}["filed"] == 1
    assert json.loads(files["status.json"])["alarms"][0]["code"] == "rejected"
    assert json.loads(files["about.json"])["sqlite"]
    assert files["log.txt"].splitlines()[0] == LOG[0]
    assert len(files["log.txt"].splitlines()) == 4


def test_a_shape_has_the_lengths_of_fields(made: Gateway) -> None:
    """``R|1|^^^NA|140.77317|mmol/L||N||F||||20240612102000``, counted by hand."""
    shapes = json.loads(bundled(made.config)["shapes.json"])
    first = next(s for s in shapes if s["transmission"] == 1)
    assert [r["type"] for r in first["records"]] == ["H", "P", "O", "R", "C", "L"]
    assert first["records"][3]["fields"] == [1, 1, 5, 9, 6, 0, 1, 0, 1, 0, 0, 0, 14]


def test_a_record_that_is_none_has_no_type() -> None:
    assert redaction._record(b"KIMCANARY") == {"type": "?", "fields": [9]}
    assert redaction._record(b"Kim|1") == {"type": "?", "fields": [3, 1]}


def test_without_an_agent_it_has_what_needs_none_and_says_so(tmp_path: Path) -> None:
    config = tmp_path / "edge-agent.toml"
    config.write_text(CONFIG, encoding="utf-8")
    files = bundled(config)
    assert {"about.json", "configuration.json", "directory.json"} <= set(files)
    assert "store.json" not in files
    assert json.loads(files["about.json"])["agent_said"] == "not-running"


SECRETS = """\
[agent]
site = "seoul-01"
gateway = "gw-01"
[mqtt]
urls = ["mqtt://127.0.0.1:1883"]
username = "CANARY"
password_file = "CANARY"
cert_file = "CANARY"
key_file = "CANARY"
[site]
specimen_id = "CANARY"
[[analyser]]
id = "an1"
profile = "lis02_generic"
transport = "serial:///dev/ttyUSB0?baudrate=9600"
"""


def test_of_secrets_only_that_they_are_set(tmp_path: Path) -> None:
    config = tmp_path / "edge-agent.toml"
    config.write_text(SECRETS, encoding="utf-8")
    told = redaction.configuration(load(config))
    assert "CANARY" not in json.dumps(told)
    assert told["mqtt"]["username"] == told["mqtt"]["password_file"] == told["site"]["specimen_id"] == "(set)"
    assert told["mqtt"]["ca_file"] == "(not set)"
    assert told["analyser"][0]["transport"] == "serial:///dev/ttyUSB0?baudrate=9600"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("mqtts://kim:secret@broker.example:8883", "mqtts://broker.example:8883"),
        ("tcp-server://0.0.0.0:5600?token=secret", "tcp-server://0.0.0.0:5600"),
        ("mqtt://broker/kim", "mqtt://broker"),
        ("serial:///dev/ttyS0?baudrate=9600&parity=E&secret=kim", "serial:///dev/ttyS0?baudrate=9600&parity=E"),
    ],
)
def test_an_address_is_told_without_user_and_password(url: str, told: str) -> None:
    assert redaction.url(url) == told


def test_a_certificate_is_told_by_its_name_and_its_dates(tmp_path: Path) -> None:
    certificate, key = Authority(tmp_path).issue("gw-01")
    config = tmp_path / "edge-agent.toml"
    mqtt = f'cert_file = "{certificate.name}"\nkey_file = "{key.name}"\n'
    config.write_text(CONFIG.replace("[[analyser]]", f"{mqtt}[[analyser]]", 1), encoding="utf-8")
    [told] = json.loads(bundled(config)["certificates.json"])["cert_file"]
    assert (told["cn"], sorted(told)) == ("gw-01", ["cn", "from", "to"])


def test_a_key_nobody_thought_of_is_not_shown() -> None:
    assert redaction._table("mqtt", {"new_secret": "CANARY", "window": 16}) == {"new_secret": "(set)", "window": 16}


def test_it_says_first_what_is_in_it(tmp_path: Path) -> None:
    listed = edge_agent("support-bundle", tmp_path, "--list")
    assert listed.exit_code == 0
    assert all(name in listed.stdout for name in CONTENTS)
    assert list(tmp_path.iterdir()) == []


def test_it_asks_and_where_nobody_can_be_asked_it_writes_nothing(tmp_path: Path) -> None:
    result = edge_agent("support-bundle", tmp_path)
    assert result.exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_somebody_left_among_the_profiles_is_not_named(made: Gateway) -> None:
    (made.data_dir / "profiles").mkdir(exist_ok=True)
    for name in ("an1", "kim-canary-7731"):  # both are names an analyser could have; one is an analyser's
        (made.data_dir / "profiles" / f"{name}.json").write_text("{}", encoding="utf-8")
    assert json.loads(bundled(made.config)["directory.json"])["pins"] == ["an1", redaction.OTHER]
