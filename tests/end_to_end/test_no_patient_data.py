"""Nothing of a patient leaves the store but in the results themselves.

Canaries go through every way a message can take: filed, repeated, held for each reason, failed by a defect, rejected in
the patient's own words, too large, broken off, refused, outside any frame. Then everything that can be seen without
opening the store is searched for them in every form. The results themselves are the positive control.
"""

import json
import logging
import os
import stat
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from end_to_end.bad_input_cases import ENQ, EOT, Line, frame, frames
from end_to_end.canaries import (
    BORN,
    CANARIES,
    COMMENT,
    LATIN,
    NAME,
    NOTE,
    OPERATOR,
    PASSWORD,
    PATIENT,
    SPECIMEN,
    VALUE,
    WARD,
    forms,
    hits,
    tube,
)
from end_to_end.canary_lab import (
    CanaryAgent,
    Clerk,
    Witness,
    assert_clean,
    filing,
    listening,
    metrics,
    names_under,
    notified,
    process_facts,
)
from end_to_end.lab import ROOT, Bench, running_broker, until
from support_free_port import free_port

from edge_agent.cli.main import main as edge_agent
from edge_agent.clock import SystemClock
from edge_agent.logs import _JsonLine, _OneLine
from edge_agent.monitor.alarms import Alarms

pytestmark = [pytest.mark.broker, pytest.mark.slow]

HEADER = r"H|\^&|||QA^1|||||||P|LIS2-A2|20260301120000"
H500 = r"H|\^&|||H500^1^2|||||||P|LIS2-A2|20260301120000"
XN = r"H|\^&|||    XN-1000^00-31^41007^^^^CD902211||||||||E1394-97"
PERSON = f"P|1||{PATIENT}||{NAME}^{LATIN}||{BORN}|F|||{WARD}||Dr.{OPERATOR}"
END = "L|1|N"
LARGE = 20_000
GENERIC = (
    *("good", "undecodable", "shape", "several", "no-id", "no-code", "defect", "rejected", "misled"),
    *("large", "broken-off", "cut", "noise", "refused", "query", "no-header"),
)
BENCHES = (
    *(Bench(name, "lis02_generic") for name in GENERIC),
    *(Bench(name, "horiba_yumizen") for name in ("code", "unit", "wrong-device")),
    Bench("code-held", "horiba_yumizen", more='on_unknown_code = "hold"'),
    Bench("role", "sysmex_xn"),
)
HELD = {
    "undecodable": "undecodable",
    "shape": "specimen-id-shape",
    "several": "several-specimen-ids",
    "no-id": "no-specimen-id",
    "no-code": "no-test-code",
    "defect": "driver",
    "noise": "unframed-bytes",
    "refused": "frame-refused",
    "unit": "unit-contradicts",
    "wrong-device": "wrong-device",
    "code-held": "unknown-test-held",
    "role": "role-undecided",
    "no-header": "no-header",
}


def order(specimen: str, operator: str = OPERATOR) -> str:
    return f"O|1|{specimen}||^^^GLU|R||20260301110000|||{operator}|||||||{WARD}"


def result(value: str = VALUE, code: str = "^^^GLU", number: int = 1, unit: str = "mmol/L") -> str:
    return f"R|{number}|{code}|{value}|{unit}||N||F||{OPERATOR}||20260301115500"


def message(specimen: str, *results: str, header: str = HEADER, more: tuple[str, ...] = ()) -> list[str]:
    return [header, PERSON, order(specimen), *(results or (result(),)), f"C|1|I|{COMMENT} {NAME}|G", *more, END]


@dataclass
class Scene:
    """What came of it all, for the tests to look at."""

    agent: CanaryAgent
    witness: Witness
    told: list[bytes]
    metrics: bytes = b""
    process: bytes = b""
    limits: str = ""
    as_nobody: bytes = b""
    errors: bytes = b""
    modes: tuple[tuple[str, str], ...] = ()
    held: frozenset[tuple[str, str]] = frozenset()
    messages: frozenset[tuple[str, str]] = frozenset()
    trace: str = ""
    bundle: bytes = b""


def send_everything() -> None:
    with ExitStack() as stack:
        send_on({bench.id: stack.enter_context(Line(bench.port, [])) for bench in BENCHES})


def send_on(lines: dict[str, Line]) -> None:
    lines["good"].send(message(tube(1)))
    lines["good"].send(message(tube(1)))  # again: a duplicate
    lines["good"].send(message(tube(2), result("<" + VALUE)))
    korean = [text.encode() for text in message(tube(3))]
    korean[1] = PERSON.replace(LATIN, "").encode("euc-kr")
    lines["undecodable"].send(korean)
    lines["undecodable"].send([text.encode("latin-1", "ignore") for text in message(tube(4))])
    lines["shape"].send(message(f"../{SPECIMEN}/+/#"))
    lines["several"].send(message(f"{tube(5)}\\{tube(6)}"))
    lines["no-id"].send(message(""))
    lines["no-code"].send(message(tube(7), result(code="")))
    lines["defect"].send(message(tube(8), more=("C|1|I|DEFECT",)))
    lines["rejected"].send(message(tube(9)))
    lines["misled"].send(message(tube(10)))
    many = [result(f"{VALUE}{n}", f"^^^T{n:03}", n) for n in range(1, 260)]
    lines["large"].send(message(tube(11), *many))
    lines["broken-off"].send(message(tube(12))[:-1])
    for piece in (ENQ, *frames(message(tube(13))[:3])):
        lines["cut"].say(piece)
    lines["noise"].tell(f"{PERSON}\r\n{VALUE}\r\n".encode())
    lines["refused"].say(ENQ)
    lines["refused"].say(frame(1, PERSON, off_by=1))
    lines["refused"].tell(EOT)
    lines["query"].send([HEADER, f"Q|1|{PATIENT}^{tube(14)}||ALL||||||||O", END])
    lines["no-header"].send(message(tube(15))[1:])
    lines["code"].send(
        message(tube(16), result(code=f"^^^{PATIENT}"), result(code=f"^^^{tube(16)}", number=2), header=H500)
    )
    lines["code-held"].send(message(tube(17), result(code=f"^^^{PATIENT}"), header=H500))
    lines["unit"].send(message(tube(18), result(code="^^^WBC^6690-2", unit=OPERATOR), header=H500))
    lines["wrong-device"].send(message(tube(19), header=HEADER.replace("QA^1", f"{PATIENT}^{NAME}")))
    lines["role"].send([XN, PERSON, f"O|1||^^QC-{tube(20)}^B|^^^^WBC|||||||N", result(code="^^^^WBC^1"), END])


def outcomes(agent: CanaryAgent) -> tuple[frozenset[tuple[str, str]], frozenset[tuple[str, str]]]:
    waiting = agent.ask("queue", limit=1000)
    held = frozenset((h["analyser"], h["code"]) for h in waiting["held"])
    return held, frozenset((m["analyser"], m["state"]) for m in waiting["messages"])


def settled(agent: CanaryAgent) -> bool:
    held, messages = outcomes(agent)
    wanted = {("rejected", "rejected"), ("large", "blocked")}
    alarms = {(a["analyser"], a["code"]) for a in agent.ask("status")["alarms"]}
    alarmed = {("broken-off", "interrupted"), ("query", "query-unanswered"), ("code", "unknown-test")}
    return set(HELD.items()) <= held and messages == wanted and alarmed <= alarms


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)  # any user may come as far as the data directory itself
        for name in ("here", "temporary"):
            (folder / name).mkdir()
        broker = stack.enter_context(running_broker(folder / "broker", (f"max_packet_size {LARGE}", "log_type all")))
        told = stack.enter_context(notified(folder / "notify"))
        witness = stack.enter_context(listening(broker.port))
        clerk = stack.enter_context(filing(broker.port))
        port = free_port()
        agent = CanaryAgent(
            folder,
            broker.url,
            BENCHES,
            tail=f'[metrics]\nlisten = "127.0.0.1:{port}"\n[site]\nspecimen_id = "{SPECIMEN}-[0-9]{{2}}"',
        )
        stack.callback(end, agent)
        found = Scene(agent, witness, told)
        agent.start()
        send_everything()
        until(lambda: settled(agent), 60, f"everything settled: {outcomes(agent)}")
        play(found, clerk, port)
        found.errors += "\n".join(line for line in broker.log.splitlines() if "/_central/" not in line).encode()
        yield found


def end(agent: CanaryAgent) -> None:
    if agent.process is not None:
        agent.process.kill()
        agent.process.wait(20)


def play(scene: Scene, clerk: Clerk, port: int) -> None:
    """A person asks and decides; the agent is killed, started again, stopped, and ends by a defect."""
    agent = scene.agent
    assert agent.process is not None
    scene.held, scene.messages = outcomes(agent)
    look_around(scene, port)
    [large] = [m["id"] for m in agent.ask("queue", limit=1000)["messages"] if m["state"] == "blocked"]
    asked = [("set-aside", large, "--note", f"{NOTE} {NAME}"), ("retry", "--held", "--note", NOTE)]
    asked += [("show", f"{PATIENT} {NAME}"), ("trace", "defect"), ("show", "defect")]
    for words in asked:
        ran = agent.command(*words)
        scene.errors += f"{ran.stdout}\n{ran.stderr}\n".encode()
    scene.trace = agent.command("trace", tube(1)).stdout
    if "support-bundle" in edge_agent.commands:
        scene.bundle = bundled(agent)
    agent.kill()
    agent.form = "json"
    agent.start()
    ports = {bench.id: bench.port for bench in BENCHES}
    with Line(ports["good"], []) as good, Line(ports["defect"], []) as defect:
        good.send(message(tube(21)))
        defect.send(message(tube(22), more=("C|1|I|DEFECT",)))
    until(lambda: not agent.ask("status")["converting"] and not agent.ask("queue", state="queued")["messages"])
    agent.stop()
    agent.crash = True
    agent.launch()
    assert agent.process.wait(30) == 1
    scene.modes += modes_under(agent.data_dir)


def look_around(scene: Scene, port: int) -> None:
    """While the agent runs."""
    agent = scene.agent
    assert agent.process is not None
    scene.metrics = metrics(port)
    scene.process = process_facts(agent.process.pid)
    scene.limits = Path(f"/proc/{agent.process.pid}/limits").read_text(encoding="utf-8")
    scene.modes = modes_under(agent.data_dir)
    if os.geteuid() == 0:
        ran = [agent.as_nobody(*words, "--config", str(agent.config)) for words in every_question()]
        assert all(r.returncode != 0 for r in ran)
        scene.as_nobody = b"\n".join(r.stdout + r.stderr for r in ran)
        listed = agent.as_nobody("device", "list", "--config", str(agent.config))
        scene.as_nobody += listed.stdout + listed.stderr


def bundled(agent: CanaryAgent) -> bytes:
    """Every file of a support bundle, and their names."""
    file = agent.folder / "bundle.tar.gz"
    ran = agent.command("support-bundle", str(file), "--yes", "--log", str(agent.log))
    assert ran.returncode == 0, ran.stderr
    with tarfile.open(file) as bundle:
        return "\n".join(bundle.getnames()).encode() + b"\n".join(
            content.read() for member in bundle if (content := bundle.extractfile(member)) is not None
        )


def every_question() -> list[tuple[str, ...]]:
    return [("status",), ("status", "--json"), ("queue",), ("show", tube(1)), ("trace", "t1"), ("reload",)]


def modes_under(folder: Path) -> tuple[tuple[str, str], ...]:
    return tuple((str(p), stat.filemode(p.lstat().st_mode)) for p in (folder, *folder.rglob("*")))


def test_every_way_was_gone(scene: Scene) -> None:
    assert set(HELD.items()) <= scene.held
    carried = b"\n".join(scene.witness.carried)
    for canary in (PATIENT, NAME, LATIN, VALUE, COMMENT, tube(1), tube(9), tube(21)):
        assert canary.encode() in carried, canary
        assert canary in scene.trace or canary in (tube(9), tube(21))


def test_nothing_is_in_the_log_at_debug_in_either_format(scene: Scene) -> None:
    log = scene.agent.log.read_bytes()
    assert b" DEBUG " in log
    assert b'"level": "CRITICAL"' in log
    assert_clean({"log": log})


def test_nothing_goes_over_the_broker_but_in_results(scene: Scene) -> None:
    topics = {topic.split("/", 4)[-1].split("/")[0] for topic in scene.witness.topics}
    assert {"state", "info", "health", "alarm", "analyser", "up"} <= topics
    assert_clean({"topics, properties, wills and payloads": scene.witness.all(), "topic names": seen_topics(scene)})


def seen_topics(scene: Scene) -> bytes:
    """But for those that others publish on."""
    return "\n".join(t for t in scene.witness.topics if "/_central/" not in t).encode()


def test_nothing_is_in_the_figures_or_told_to_the_service_manager(scene: Scene) -> None:
    assert b"edge_agent_held" in scene.metrics
    told = b"\n".join(scene.told)
    assert b"STATUS=A person is needed" in told
    assert_clean({"metrics": scene.metrics, "service manager": told})


def test_nothing_is_in_a_support_bundle(scene: Scene) -> None:
    assert_clean({"support bundle": scene.bundle})


def test_nothing_is_in_what_the_system_tells_of_the_process_and_no_core_is_written(scene: Scene) -> None:
    assert_clean({"process": scene.process})
    [core] = [line.split() for line in scene.limits.splitlines() if line.startswith("Max core file size")]
    assert core[4:6] == ["0", "0"]


def test_no_file_has_a_name_of_a_patient_and_none_is_left_outside_the_data_directory(scene: Scene) -> None:
    assert_clean({"names": names_under(scene.agent.folder)})
    assert list((scene.agent.folder / "temporary").iterdir()) == []
    assert list((scene.agent.folder / "here").iterdir()) == []


def test_only_the_services_own_user_may_look_into_the_data_directory(scene: Scene) -> None:
    for path, mode in scene.modes:
        if path.endswith("control.sock"):  # 0660: for the group
            assert mode == "srw-rw----"
        elif path == str(scene.agent.data_dir):  # the group may pass, not list
            assert mode in ("drwx------", "drwx--x---")
        else:
            assert mode.endswith("------"), (path, mode)
    assert {Path(path).name for path, _ in scene.modes} >= {"control.sock", "agent.lock"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_of_the_machine_is_told_that_he_may_not_and_nothing_else(scene: Scene) -> None:
    assert scene.as_nobody.count(b"[permission]") == len(every_question())
    assert_clean({"commands of another user": scene.as_nobody})
    listed = subprocess.run(
        ["ls", "-R", str(scene.agent.data_dir)], capture_output=True, user="nobody", check=False, timeout=20
    )
    assert listed.returncode != 0
    assert listed.stdout.decode().split() in ([], [f"{scene.agent.data_dir}:"])


def test_no_error_repeats_what_was_asked_noted_or_read(scene: Scene) -> None:
    assert b"[unknown-id]" in scene.errors
    assert b"[internal]" in scene.errors
    assert b"is set aside" in scene.errors
    assert_clean({"commands and the broker's log": scene.errors})


def test_a_mistake_in_the_configuration_is_told_without_the_password(tmp_path: Path) -> None:
    config = tmp_path / "edge-agent.toml"
    config.write_text(
        '[agent]\nsite = "s"\ngateway = "g"\n[mqtt]\n'
        f'urls = ["mqtt://ivd:{PASSWORD}@127.0.0.1:1883"]\npasword = "{PASSWORD}"\n',
        encoding="utf-8",
    )
    for name in ("check", "run"):
        words = [sys.executable, "-m", "edge_agent", name, "--config", str(config)]
        ran = subprocess.run(words, cwd=ROOT, capture_output=True, timeout=30, check=False)
        assert ran.returncode == 78
        assert_clean({name: ran.stdout + ran.stderr})


# The search itself


@pytest.mark.parametrize("name", CANARIES)
def test_the_search_finds_a_canary_in_every_form_wherever_it_stands(name: str) -> None:
    for form, made in forms(CANARIES[name]).items():
        for before, after in ((b"", b""), (b"x" * 5, b"yz"), (b"\xff\x00", b"\n")):
            assert hits(before + made + after, [name]), form


@pytest.mark.parametrize(
    "text",
    [
        "ERROR t12: Q0FOQVJZLTc3NDE=",  # CANARY-7741 in base64 (RFC 4648), worked out with coreutils' base64
        "ERROR t12: eENBTkFSWS03NzQx",  # xCANARY-7741
        "ERROR t12: eHlDQU5BUlktNzc0MQ==",  # xyCANARY-7741
        "43414e4152592d37373431",
        r"{'name': '\uae40\uce74\ub098\ub9ac'}",
        r'{"name": "\uAE40\uCE74\uB098\uB9AC"}',
        r"b'\xea\xb9\x80\xec\xb9\xb4\xeb\x82\x98\xeb\xa6\xac'",
        "/filed?name=%EA%B9%80%EC%B9%B4%EB%82%98%EB%A6%AC",
        r"b'\xb1\xe8\xc4\xab\xb3\xaa\xb8\xae'",  # EUC-KR
        "Kanari\\xebnv\\xf6gel",
    ],
)
def test_the_search_finds_forms_worked_out_by_hand(text: str) -> None:
    assert hits(text.encode())
    assert not hits(text.replace("7", "").replace("9", "").replace("e", "").replace("E", "")[::2].encode())


def test_the_search_finds_what_a_line_of_the_log_or_an_alarm_would_carry(caplog: pytest.LogCaptureFixture) -> None:
    for name, text in CANARIES.items():
        for words in (text, repr(text.encode()), json.dumps(text)):
            record = logging.LogRecord("edge_agent", logging.DEBUG, __file__, 1, "%s", (words,), None)
            assert hits(_OneLine().format(record).encode(), [name])
            assert hits(_JsonLine().format(record).encode(), [name])
        alarms = Alarms(SystemClock())
        alarms.raise_("storage", reason=text)
        assert hits(alarms.active()[0].sentence.encode(), [name])
    assert hits(caplog.text.encode())


def test_every_command_that_asks_is_asked_by_another_user() -> None:
    asking = {n for n, c in edge_agent.commands.items() if getattr(c.callback, "__module__", "").endswith(".ask")}
    assert {"status", "queue", "show", "trace"} <= asking <= {words[0] for words in every_question()}
