"""Records nobody should send: the analyser is told the truth, a person gets a sentence, the neighbours are filed.

One laboratory, one analyser for each kind of mistake, so that every alarm and every hold has one cause. A test looks at
the answers on the wire, at what was filed, held and alarmed, at the neighbours of the mistake, and at the bytes kept.
"""

import json
from collections.abc import Iterator

import pytest
from end_to_end.bad_input_cases import (
    END,
    HEADER,
    NAME,
    PATIENT,
    VALUE,
    Ward,
    order,
    patient,
    plain,
    result,
    tube,
    ward_in,
)
from end_to_end.lab import Bench, until

pytestmark = pytest.mark.broker

H500 = r"H|\^&|||H500^1^2|||||||P|LIS2-A2|20260301120000"
BENCHES = (
    Bench("record", "lis02_generic"),
    Bench("code", "horiba_yumizen"),
    Bench("code-held", "horiba_yumizen", more='on_unknown_code = "hold"'),
    Bench("undecodable", "lis02_generic"),
    Bench("no-id", "lis02_generic"),
    Bench("no-end", "lis02_generic"),
    Bench("two-patients", "lis02_generic"),
    Bench("query", "lis02_generic"),
)
AT_THE_END = {
    "code": {"unknown-test"},
    "code-held": {"unknown-test-held", "held"},
    "undecodable": {"undecodable", "held"},
    "no-id": {"no-specimen-id", "held"},
    "query": {"query-unanswered"},
}


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    with ward_in(tmp_path_factory.mktemp("ward"), BENCHES) as found:
        yield found


def test_an_unknown_record(ward: Ward) -> None:
    with ward.line("record") as line:
        line.send([HEADER, "M|1|LOT^77", patient(), order(tube(2)), "X|1|what|is|this", result(VALUE), "S|1|odd", END])
        line.send(plain(tube(3), "5.2"))
    assert line.answers == "A" * 9 + "A" * 6
    ward.await_filed("record", (tube(2), VALUE), (tube(3), "5.2"))
    assert ward.nothing_is_held("record")
    assert ward.alarms("record") == {}
    first, _ = ward.transmissions("record")
    trace = ward.agent.command("trace", f"t{first['id']}", "--json")
    assert json.loads(trace.stdout)["transmissions"] == [first]
    assert "X|1|what|is|this" in [r["text"] for r in first["records"]]
    assert ward.everything_is_kept("record")
    ward.row("an unknown record", "kept; the results beside it are filed")


def test_an_unknown_code_goes_out_as_it_is(ward: Ward) -> None:
    white, unknown = result("6.1", "WBC^6690-2", 1, "10E3/uL"), result(VALUE, "XYZ", 2)
    with ward.line("code") as line:
        line.send([H500, patient(), order(tube(4)), white, unknown, END])
    assert line.answers == "A" * 7
    ward.await_filed("code", (tube(4), "6.1"), (tube(4), VALUE))
    assert ward.nothing_is_held("code")
    sentence = ward.await_alarm("code", "unknown-test")
    assert sentence == (
        "code sent the test XYZ that its profile does not know; it went out with the analyser's own code."
    )
    assert ward.everything_is_kept("code")
    ward.row("an unknown code", "filed under the analyser's own code", sentence)


def test_an_unknown_code_is_held_where_the_site_says_so(ward: Ward) -> None:
    white, unknown = result("6.1", "WBC^6690-2", 1, "10E3/uL"), result(VALUE, "XYZ", 2)
    with ward.line("code-held") as line:
        line.send([H500, patient(), order(tube(5)), white, unknown, END])
    assert line.answers == "A" * 7
    ward.await_filed("code-held", (tube(5), "6.1"))
    sentence = ward.await_held("code-held", ("unknown-test-held", 1))
    assert sentence == "code-held sent the unknown test XYZ, and this site holds unknown tests."
    assert ward.await_alarm("code-held", "unknown-test-held") == sentence
    [payload] = [p for p in ward.ear.results if tube(5).encode() in p]
    assert b"1 result of this specimen is held" in payload
    ward.row("an unknown code, on_unknown_code = hold", "held alone; its neighbour says so in a note", sentence)


def test_undecodable_bytes_in_one_of_three_specimens(ward: Ward) -> None:
    korean = patient(2, "CANARY-7742").encode().replace(NAME.encode(), NAME.encode("euc-kr"))
    third = [patient(3, "CANARY-7743"), order(tube(18)), result("5.3"), END]
    with ward.line("undecodable") as line:
        line.send([HEADER, patient(), order(tube(16)), result("5.1"), korean, order(tube(17)), result(VALUE), *third])
        line.send(plain(tube(19), "5.4"))
    assert line.answers == "A" * 12 + "A" * 6
    ward.await_filed("undecodable", (tube(16), "5.1"), (tube(18), "5.3"), (tube(19), "5.4"))
    sentence = ward.await_held("undecodable", ("undecodable", 1))
    assert sentence == (
        "Text from undecodable cannot be read in the character set of its profile (the patient record)."
    )
    assert ward.await_alarm("undecodable", "undecodable") == sentence
    assert ward.everything_is_kept("undecodable")
    ward.row("undecodable bytes in one of three specimens", "that one held, the others filed", sentence)


def test_no_specimen_id(ward: Ward) -> None:
    with ward.line("no-id") as line:
        line.send([HEADER, patient(), order(""), result(VALUE), patient(2), order(tube(20)), result("5.2"), END])
        line.send(plain(tube(21), "5.3"))
    assert line.answers == "A" * 9 + "A" * 6
    ward.await_filed("no-id", (tube(20), "5.2"), (tube(21), "5.3"))
    sentence = ward.await_held("no-id", ("no-specimen-id", 1))
    assert sentence == "A result from no-id came without a specimen id."
    assert ward.await_alarm("no-id", "no-specimen-id") == sentence
    assert ward.everything_is_kept("no-id")
    ward.row("no specimen id", "held; its neighbours filed", sentence)


def test_no_terminator_record(ward: Ward) -> None:
    second = [patient(2), order(tube(23)), result(VALUE)]
    with ward.line("no-end") as line:
        line.send([HEADER, patient(), order(tube(22)), result("5.1"), *second])
        sentence = ward.await_alarm("no-end", "interrupted")
        # the second P was a step back in level: what came before it is the agent's now (LIS02-A2 4.2.1)
        ward.await_filed("no-end", (tube(22), "5.1"))
        ward.await_states("no-end", "interrupted eot")
        line.send([HEADER, *second, END])  # an analyser may go on where it broke off
    assert line.answers == "A" * 8 + "A" * 6
    ward.await_filed("no-end", (tube(22), "5.1"), (tube(23), VALUE))
    ward.await_states("no-end", "completed-by eot", "complete L")
    assert ward.everything_is_kept("no-end")
    ward.row("no L before EOT", "what is surely whole filed; the rest when it comes again", sentence)


def test_two_patients_in_one_message(ward: Ward) -> None:
    second = [patient(2, "CANARY-7742", "이카나리"), order(tube(25)), result("5.2"), END]
    with ward.line("two-patients") as line:
        line.send([HEADER, patient(), order(tube(24)), result(VALUE), *second])
    assert line.answers == "A" * 9
    ward.await_filed("two-patients", (tube(24), VALUE), (tube(25), "5.2"))
    filings = [f for f in ward.central.ledger.filings(filed_only=True) if f.analyser == "two-patients"]
    assert [(f.observation.patient, f.observation.specimen) for f in filings] == [
        (PATIENT, tube(24)),
        ("CANARY-7742", tube(25)),
    ]
    assert len({f.msh10 for f in filings}) == 2
    assert ward.alarms("two-patients") == {}
    assert ward.everything_is_kept("two-patients")
    ward.row("two patients in one message", "two messages, each with its own patient")


def test_a_query_that_nobody_can_answer(ward: Ward) -> None:
    with ward.line("query") as line:
        line.send([HEADER, f"Q|1|^{tube(28)}||ALL||||||||O", END])
        line.send(plain(tube(29), VALUE))
    assert line.answers == "A" * 4 + "A" * 6  # stored, and answered with silence
    ward.await_filed("query", (tube(29), VALUE))
    sentence = ward.await_alarm("query", "query-unanswered")
    assert sentence == "query asked for an order nobody could answer."
    assert ward.nothing_is_held("query")
    assert ward.everything_is_kept("query")
    ward.row("a query nobody can answer", "stored, answered with silence", sentence)


def test_what_was_put_right_is_no_alarm_any_more_and_what_waits_still_is(ward: Ward) -> None:
    for name in ward.tried():
        wanted = AT_THE_END.get(name, set())
        until(lambda n=name, w=wanted: set(ward.alarms(n)) == w, 15, f"{name}: {ward.alarms(name)}")
    assert ward.agent.nothing_waits()


def test_nothing_of_a_patient_is_seen_outside_the_results(ward: Ward) -> None:
    with ward.line("record") as line:
        line.send(plain(tube(40), VALUE))
    until(lambda: (tube(40), "GLU", VALUE) in ward.filed("record"), 20, "filed")
    ward.nothing_of_a_patient_is_seen()


def test_the_list_as_a_person_sees_it(ward: Ward) -> None:
    ward.print_table()
    assert all(outcome for _, outcome, _ in ward.table)
