"""When two observations are the same one."""

from dataclasses import replace

import pytest

from drivers.canonical import Comment, Graphic, Observation, Patient, Specimen
from edge_agent.identity import KeyRing, observation_digest, specimen_key, timed_to_the_minute

SPECIMEN = Specimen(id="498151", patient=Patient(id="PID77"))
GLUCOSE = Observation(
    code="GLU",
    full_code="^^^GLU",
    value="5.1",
    unit="mmol/L",
    range="3.9 to 5.6",
    flags=("N",),
    status="F",
    run="1",
    completed="20240301101200",
    comments=(Comment("clotted"),),
)


def digest(observation: Observation, specimen: Specimen = SPECIMEN, analyser: str = "an1") -> bytes:
    return observation_digest(analyser, specimen, observation)


@pytest.mark.parametrize(
    "changed",
    [
        {"full_code": "^^^GLU^2"},
        {"component": "rpoB"},
        {"value": "5.10"},
        {"unit": "mg/dL"},
        {"range": "4 to 6"},
        {"flags": ("H",)},
        {"flags": ("N", "N")},
        {"status": "P"},
        {"run": "2"},
        {"completed": "20240301101300"},
        {"comments": ()},
        {"no_result": "clotted"},
        {"graphic": Graphic("IM", "PNG", "Base64", "iVBORw0KGgo=")},
    ],
)
def test_any_difference_in_content_makes_another_observation(changed) -> None:
    assert digest(replace(GLUCOSE, **changed)) != digest(GLUCOSE)


@pytest.mark.parametrize(
    "changed", [{"name": "Glucose"}, {"operators": ("kim",)}, {"instrument": "A2"}, {"records": (9,)}, {"started": "1"}]
)
def test_what_differs_between_a_transmission_and_its_resend_does_not_count(changed) -> None:
    assert digest(replace(GLUCOSE, **changed)) == digest(GLUCOSE)


def test_another_analyser_specimen_or_patient_makes_another_observation() -> None:
    assert digest(GLUCOSE, analyser="an2") != digest(GLUCOSE)
    assert digest(GLUCOSE, replace(SPECIMEN, id="498152")) != digest(GLUCOSE)
    assert digest(GLUCOSE, replace(SPECIMEN, patient=Patient(id="PID78"))) != digest(GLUCOSE)


def test_the_mark_previously_transmitted_does_not_count() -> None:
    assert digest(replace(GLUCOSE, status="R")) == digest(GLUCOSE)
    assert digest(replace(GLUCOSE, status="F", resend=True)) == digest(GLUCOSE)


def test_fields_cannot_run_into_each_other() -> None:
    one = replace(GLUCOSE, value="5.1", unit="mmol")
    other = replace(GLUCOSE, value="5.1m", unit="mol")
    assert digest(one) != digest(other)


def test_equal_replicates_are_told_apart_by_their_ordinal() -> None:
    ring = KeyRing("an1")
    first, second = ring.key(SPECIMEN, GLUCOSE), ring.key(SPECIMEN, GLUCOSE)
    assert (first.occurrence, second.occurrence) == (0, 1)
    assert KeyRing("an1").key(SPECIMEN, GLUCOSE) == first


def test_the_order_of_messages_is_kept_per_specimen_and_analyser() -> None:
    assert specimen_key("an1", SPECIMEN) == specimen_key("an1", replace(SPECIMEN, patient=Patient()))
    assert specimen_key("an1", SPECIMEN) != specimen_key("an2", SPECIMEN)


@pytest.mark.parametrize(
    ("text", "timed"),
    [
        ("20240301101200", True),
        ("202403011012", True),
        ("20240301101200+0900", True),
        ("2024-03-01 10:12:00", True),
        ("20240301", False),
        ("2024030110", False),
        ("", False),
        ("10:12", False),
    ],
)
def test_only_a_time_to_the_minute_tells_a_resend_from_a_new_measurement(text: str, timed: bool) -> None:
    assert timed_to_the_minute(replace(GLUCOSE, completed=text)) is timed


def test_a_result_that_was_preliminary_by_its_order_is_another_one_when_the_order_is_final() -> None:
    ring = KeyRing("an1")
    silent = replace(GLUCOSE, status="")
    preliminary, final = ring.key(SPECIMEN, silent, "P"), ring.key(SPECIMEN, silent, "F")
    assert preliminary.digest != final.digest
    assert ring.key(SPECIMEN, GLUCOSE, "P").digest != ring.key(SPECIMEN, GLUCOSE, "F").digest
    assert ring.key(SPECIMEN, replace(GLUCOSE, status="R"), "F").digest == ring.key(SPECIMEN, GLUCOSE, "F").digest
