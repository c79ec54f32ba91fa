"""Whose result it is: ids, roles, patients, merging. Messages written by hand after LIS02-A2."""

from collections.abc import Callable

import pytest

from drivers.canonical import Report, Role, Specimen
from drivers.sdk import Device

Read = Callable[..., Report]
R = "R|1|^^^GLU|5.0|mmol/L||N||F"


def only(report: Report) -> Specimen:
    assert len(report.specimens) == 1
    return report.specimens[0]


def holds(report: Report) -> list[str]:
    return [h.code for s in report.specimens for h in s.holds]


@pytest.mark.parametrize(
    ("order", "found"),
    [
        ("O|1|S1", "S1"),
        ("O|1|  S 1 ", "S 1"),  # outer blanks off, the one inside stays
        ("O|1|S1^R2^5|17^2", "S1"),
        ("O|1|S1/a-b", "S1/a-b"),
        ("O|1|s&F&1", "s|1"),
    ],
)
def test_the_specimen_id_is_what_stands_in_its_place_with_its_outer_blanks_off(
    read: Read, order: str, found: str
) -> None:
    specimen = only(read("P|1", order, R))
    assert specimen.id == found
    assert specimen.holds == ()


@pytest.mark.parametrize(
    "order",
    [
        *["O|1||S4^1", "O|1|^S2", "O|1||1^2^S3", "O|1|8^^|2025105875", "O|1|11625^CL-PL-24-0370^1"],
        "O|1|00000001|12345678",  # as long as the id: either may be it
        *["O|1|11625^CL-24 ^1", "O|1|11625^113^1", "O|1|12|27"],  # a rack or counter, and the short id of a small lab
    ],
)
def test_a_device_that_seems_to_put_the_id_elsewhere_is_held_until_its_profile_says_where(
    read: Read, order: str
) -> None:
    assert holds(read("P|1", order, R)) == ["specimen-place-unclear"]
    assert holds(read("P|1", order, R, profile='specimen = { id = ["O.3.1", "O.4.1", "O.3.2"], doubt = "take" }')) == []


@pytest.mark.parametrize(
    "order",
    ["O|1|1234567|12^3", "O|1|S1234^12^3", "O|1|BP1|BP1", "O|1|476^^|476", "O|1|123456|12^3", "O|1|S24-0038|A123^5"],
)
def test_racks_cups_and_the_same_id_twice_leave_no_doubt(read: Read, order: str) -> None:
    """LIS02-A2 8.4: further components of O.3 isolate, well or cup; O.4 is the instrument's own id."""
    assert holds(read("P|1", order, R)) == []


def test_several_places_are_read_in_order_where_the_profile_names_them(read: Read) -> None:
    profile = 'specimen = { id = ["O.3.1", "O.4.1", "O.3.2"], doubt = "take" }'
    for order, found in (("O|1||S4^1", "S4"), ("O|1|^S2", "S2"), ("O|1|S1|S4", "S1")):
        assert only(read("P|1", order, R, profile=profile)).id == found


@pytest.mark.parametrize("order", ["O|1", "O|1|", "O|1|   ", 'O|1|""', "O|1|^^|^"])
def test_no_id_is_a_hold_and_never_a_guess(read: Read, order: str) -> None:
    report = read("P|1||PID1", "O|1|BEFORE", R, order, R)
    assert [s.id for s in report.specimens] == ["BEFORE", ""]
    assert holds(report) == ["no-specimen-id"]
    assert report.specimens[1].observations()[0].value == "5.0"  # held, not lost


@pytest.mark.parametrize("order", ["O|1|S1,S2", r"O|1|S1\S2", r"O|1|S1^1\S2^2"])
def test_several_ids_are_held(read: Read, order: str) -> None:
    report = read("P|1", order, R)
    assert only(report).id == ""
    assert holds(report) == ["several-specimen-ids"]


def test_the_same_id_twice_is_one_id(read: Read) -> None:
    assert only(read("P|1", r"O|1|S1^1\S1^2", R)).id == "S1"


def test_a_pool_is_one_specimen_and_each_gives_the_result_to_all_where_the_profile_says_so(read: Read) -> None:
    pool = only(read("P|1", "O|1|S1,S2", R, profile='specimen = { multiple = "pool" }'))
    assert (pool.id, pool.holds) == ("S1,S2", ())
    each = read("P|1", "O|1|S1,S2", R, profile='specimen = { multiple = "each" }')
    assert [s.id for s in each.specimens] == ["S1", "S2"]
    assert [s.observations()[0].value for s in each.specimens] == ["5.0", "5.0"]


def test_an_id_as_long_as_the_device_allows_may_be_cut_and_is_held(read: Read) -> None:
    limit = "specimen = { max_length = 8 }"
    assert holds(read("P|1", "O|1|12345678", R, profile=limit)) == ["specimen-id-truncated"]
    assert holds(read("P|1", "O|1|1234567", R, profile=limit)) == []
    assert holds(read("P|1", "O|1|12345678", R)) == []  # the control: without a limit it goes


def test_a_capture_takes_the_id_out_of_a_longer_text(read: Read) -> None:
    profile = 'specimen = { capture = "^[A-Z]+:(?P<id>[0-9]+)$" }'
    assert only(read("P|1", "O|1|TRAY:123", R, profile=profile)).id == "123"
    assert holds(read("P|1", "O|1|123", R, profile=profile)) == ["no-specimen-id"]


def test_a_device_that_identifies_by_patient_needs_no_specimen_id(read: Read) -> None:
    profile = 'specimen = { identity = ["patient"] }'
    assert holds(read("P|1||PID1", "O|1", R, profile=profile)) == []
    assert holds(read("P|1", "O|1", R, profile=profile)) == ["no-specimen-id"]


def test_orders_of_one_specimen_come_together_in_the_order_sent(read: Read) -> None:
    report = read("P|1||PID1", "O|1|S1||^^^A", "R|1|^^^A|1", "O|2|S2||^^^B", "R|1|^^^B|2", "O|3|S1||^^^C", "R|1|^^^C|3")
    assert [s.id for s in report.specimens] == ["S1", "S2"]
    assert [o.code for o in report.specimens[0].observations()] == ["A", "C"]
    assert [o.codes for o in report.specimens[0].orders] == [("A",), ("C",)]


def test_what_differs_in_patient_role_or_specimen_type_is_not_merged(read: Read) -> None:
    patients = read("P|1||PID1", "O|1|S1", R, "P|2||PID2", "O|1|S1", R)
    assert [(s.id, s.patient.id) for s in patients.specimens] == [("S1", "PID1"), ("S1", "PID2")]
    roles = read("P|1", "O|1|S1", R, "O|2|S1|||||||||Q", R)
    assert [s.role for s in roles.specimens] == [Role.PATIENT, Role.CONTROL]
    types = read("P|1", "O|1|S1|||||||||||||SER", R, "O|2|S1|||||||||||||UR", R)
    assert [s.type for s in types.specimens] == ["SER", "UR"]


def test_two_specimens_without_an_id_are_two(read: Read) -> None:
    assert len(read("P|1", "O|1", R, "O|2", R).specimens) == 2


def test_a_patient_is_kept_as_sent(read: Read) -> None:
    patient = only(read("P|1|PR9|LAB7|X5|Kim^Minjun^A^^Dr||19880523|M", "O|1|S1", R)).patient
    assert (patient.id, patient.name, patient.birth_date, patient.sex) == ("LAB7", "Kim^Minjun^A^^Dr", "19880523", "M")
    assert only(read("P|1|PR9||X5", "O|1|S1", R)).patient.id == "PR9"
    assert only(read("P|1|||X5|^^^^", "O|1|S1", R)).patient.id == "X5"


def test_a_profile_may_put_the_parts_of_a_name_in_order(read: Read) -> None:
    profile = 'specimen = { patient_name = ["P.6.3", "P.6.2"] }'
    assert only(read("P|1||||^Minjun^Kim", "O|1|S1", R, profile=profile)).patient.name == "Kim^Minjun"


QC_RULES = """
[qc]
rules = [
    { path = "O.3.1", match = "^QC-", role = "Q" },
    { path = "O.16.1", equals = "CTRL", role = "Q" },
    { path = "O.16.1", equals = "CAL", role = "C" },
]
"""


@pytest.mark.parametrize(
    ("header", "patient", "order", "role"),
    [
        ("P", "P|1", "O|1|S1", Role.PATIENT),
        ("P", "P|1", "O|1|S1|||||||||Q", Role.CONTROL),  # LIS02-A2 8.4
        ("Q", "P|1", "O|1|S1", Role.CONTROL),  # LIS02-A2 6
        ("P", "P|1", "O|1|QC-1", Role.CONTROL),
        ("P", "P|1", "O|1|S1|||||||||||||CTRL", Role.CONTROL),
        ("P", "P|1", "O|1|S1|||||||||||||CAL", Role.CALIBRATOR),
        ("Q", "P|1", "O|1|QC-1|||||||||Q||||CTRL", Role.CONTROL),  # all agree
        ("Q", "P|1||PID1", "O|1|S1", Role.CONTROL),  # a certain marker, whatever stands in P
        ("P", "P|1||PID1", "O|1|QC-1|||||||||Q", Role.CONTROL),  # the pattern does not decide here
        ("PR", "P|1", "O|1|S1|||||||||N", Role.PATIENT),
    ],
)
def test_the_role_comes_from_markers_that_agree(read: Read, header: str, patient: str, order: str, role: Role) -> None:
    specimen = only(read(rf"H|\^&||||||||||{header}", patient, order, R, profile=QC_RULES))
    assert (specimen.role, specimen.holds) == (role, ())


@pytest.mark.parametrize(
    ("header", "patient", "order"),
    [
        ("P", "P|1||PID1", "O|1|QC-1"),  # a pattern on an identified patient
        ("P", "P|1||||Kim^Minjun", "O|1|QC-1"),
        ("P", "P|1", "O|1|QC-1|||||||||||||CAL"),  # control against calibrator
        ("Q", "P|1", "O|1|S1|||||||||||||CAL"),
    ],
)
def test_a_role_that_cannot_be_decided_is_held(read: Read, header: str, patient: str, order: str) -> None:
    report = read(rf"H|\^&||||||||||{header}", patient, order, R, profile=QC_RULES)
    assert holds(report) == ["role-undecided"]


def test_a_site_may_ask_for_a_marker_on_every_specimen(read: Read) -> None:
    profile = 'qc = { role_default = "hold", rules = [{ path = "O.12", equals = "N", role = "P" }] }'
    assert holds(read("P|1", "O|1|S1", R, profile=profile)) == ["role-undecided"]
    assert holds(read("P|1||PID1", "O|1|S1|||||||||N", R, profile=profile)) == []


def test_a_control_says_its_lot_level_and_name(read: Read) -> None:
    profile = """
    qc = { lot = ["O.3.1"], level = ["O.16.3"], expiry = ["O.16.4"] }
    comment = [{ when = [{ path = "C.5", equals = "G" }], as = "control_name" }]
    """
    lines = ("P|1", "O|1|LOT9|||||||||Q||||CTRL^^2^20251231", "C|1|I|Difftrol|G", R)
    control = only(read(*lines, profile=profile)).control
    assert (control.lot, control.level, control.expiry, control.name) == ("LOT9", "2", "20251231", "Difftrol")
    patient = only(read("P|1", "O|1|LOT9", "C|1|I|Difftrol|G", R, profile=profile))
    assert patient.control.name == ""
    assert patient.orders[0].comments[0].text == "Difftrol"  # of a patient's specimen it is a note


def test_training_and_debugging_runs_are_held_whole(read: Read) -> None:
    for code in ("T", "D"):
        report = read(rf"H|\^&||||||||||{code}", "P|1", "O|1|S1", R)
        assert [h.code for h in report.holds] == ["training-run"]
    assert read(r"H|\^&||||||||||P", "P|1", "O|1|S1", R).holds == ()


def test_another_device_than_the_profiles_is_held_whole(read: Read) -> None:
    profile = 'recognise = [{ path = "H.5.1", match = "^XN-" }]'
    assert [h.code for h in read(r"H|\^&|||H500^1", "P|1", "O|1|S1", R, profile=profile).holds] == ["wrong-device"]
    assert read(r"H|\^&|||   XN-550^1", "P|1", "O|1|S1", R, profile=profile).holds == ()


def test_results_without_an_order_are_an_orphan_specimen(read: Read) -> None:
    report = read("P|1||PID1", "R|1|^^^A|1", "R|2|^^^B|2", "O|1|S1", "R|1|^^^C|3")
    assert [(s.id, [h.code for h in s.holds]) for s in report.specimens] == [("", ["orphan-result"]), ("S1", [])]
    assert [o.code for o in report.specimens[0].observations()] == ["A", "B"]


def test_stat_is_told(read: Read) -> None:
    assert only(read("P|1", "O|1|S1||^^^A|S", R)).stat
    assert not only(read("P|1", "O|1|S1||^^^A|R", R)).stat


def test_an_order_that_cannot_be_done_is_kept_without_results(read: Read) -> None:
    order = only(read("P|1", "O|1|S1||^^^FIB|||||||||||||||||||||X", "C|1|I|clotted")).orders[0]
    assert (order.codes, order.report_type, order.observations) == (("FIB",), "X", ())
    assert order.comments[0].text == "clotted"


UNDECODABLE = b"\xb5"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        # (record lines, "!" is a byte that is not UTF-8) -> (id, hold, codes) of each specimen
        (["P|1", "O|1|S1", "R|1|^^^A|1|!g", "O|2|S2", "R|1|^^^B|2"], [("S1", True, []), ("S2", False, ["B"])]),
        (
            ["P|1", "O|1|S1", "R|1|^^^A|1", "C|1||!", "O|2|S2", "R|1|^^^B|2"],
            [("S1", True, ["A"]), ("S2", False, ["B"])],
        ),
        # an order that cannot be read: its results must not fall to the specimen before it
        (["P|1", "O|1|S1", "R|1|^^^A|1", "O|2|S!", "R|1|^^^B|2"], [("S1", False, ["A"]), ("", True, ["B"])]),
        (
            ["P|1", "O|1|S1", "R|1|^^^A|1", "P|2||!", "O|1|S2", "R|1|^^^B|2"],
            [("S1", False, ["A"]), ("S2", True, ["B"])],
        ),
        (["P|1", "O|1|S1", "R|1|^^^A|1", "P|2||!", "R|1|^^^B|2"], [("S1", False, ["A"]), ("", True, ["B"])]),
        # not even the letter: it may belong to what came before or begin something new
        (["P|1", "O|1|S1", "R|1|^^^A|1", "!|2|S2", "R|1|^^^B|2"], [("S1", True, ["A"]), ("", True, ["B"])]),
        (["P|1||!"], [("", True, [])]),
        (["P|1||PID", "C|1||!", "O|1|S1", "R|1|^^^A|1"], [("S1", True, ["A"])]),
    ],
)
def test_undecodable_bytes_hold_the_specimen_they_belong_to_and_no_other(
    device_with: Callable[[str], Device], lines: list[str], expected: list[tuple[str, bool, list[str]]]
) -> None:
    text = "\r".join([r"H|\^&", *lines, "L|1"]).encode().replace(b"!", UNDECODABLE)
    [(_, report)], _ = device_with("").read(text)
    found = [
        (s.id, "undecodable" in [h.code for h in s.holds], [o.code for o in s.observations()]) for s in report.specimens
    ]
    assert found == expected
    assert report.holds == ()


def test_an_undecodable_header_holds_the_whole_message(device_with: Callable[[str], Device]) -> None:
    [(_, report)], strays = device_with("").read(b"H|\\^&|||\xb5\rP|1\rO|1|S1\rR|1|^^^A|1\rL|1\r")
    assert [h.code for h in report.holds] == ["undecodable"]
    assert strays == ()


def test_the_charset_of_the_profile_makes_the_bytes_readable(device_with: Callable[[str], Device]) -> None:
    device = device_with('text = { charset = "latin-1" }')
    [(_, report)], _ = device.read(b"H|\\^&\rP|1\rO|1|S1\rR|1|^^^A|1|\xb5g/L\rL|1\r")
    assert report.specimens[0].observations()[0].unit == "µg/L"
    assert holds(report) == []


def test_a_specimen_of_the_type_control_is_no_patients(read: Read) -> None:
    """Captures of two analysers: CTRL in O.16 of control runs. With a patient named, nothing can be told."""
    order = "O|1|PX1||^^^GLU|||||||||||CTRL"
    assert only(read("P|1", order, R)).role is Role.CONTROL
    assert holds(read("P|1||PID1", order, R)) == ["role-undecided"]
    assert only(read("P|1", "O|1|PX1||^^^GLU|||||||||||SER", R)).role is Role.PATIENT
