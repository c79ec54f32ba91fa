"""Real traffic, read from where it lies: nothing raises, nothing vanishes, and the results are the ones in it.

The counts and ids are taken from the captures' own index and from the records by eye.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers import testkit
from drivers.canonical import Kind, Report
from drivers.protocols.lis02 import Message
from drivers.sdk import FOLDERS, SHIPPED, Device, load
from drivers.testkit_transfer import Transfer, transfer

LIS02_FILES = (
    "astmio/bs240_4sessions.astm",
    "astmio/maglumi_astm_4sessions.astm",
    "go-astm/h550_result.astm",
    "go-astm/ih1000_bloodtype.astm",
    "senaite.astm/abbott_afinion2.txt",
    "senaite.astm/abbott_architect.txt",
    "senaite.astm/cobas_c111.txt",
    "senaite.astm/cobas_c311.txt",
    "senaite.astm/genexpert.txt",
    "senaite.astm/sysmex_xn550.txt",
    "senaite.astm/sysmex_xp100.txt",
    "senaite.astm/yumizen_h500.txt",
    "senaite.lis2a/example_lis2a2_01.txt",
    "senaite.lis2a/example_lis2a2_02.txt",
    "senaite.serial.cli/taqman_session.astm",
    "universal-machine-interfacing-adapter/genexpert_mtbxdr_leaked_digits.txt",
    "vlsm-interfacing/genexpert_error.astm",
    "vlsm-interfacing/genexpert_french.astm",
    "vlsm-interfacing/genexpert_hl7_inside_astm.astm",
    "vlsm-interfacing/genexpert_ultra_pool.astm",
    "vlsm-interfacing/genexpert_vl.astm",
    "vlsm-interfacing/taqman_values.astm",
)
OWN = {
    "senaite.astm/sysmex_xn550.txt": "sysmex_xn",
    "senaite.astm/yumizen_h500.txt": "horiba_yumizen",
    "senaite.astm/genexpert.txt": "cepheid_genexpert",
    "vlsm-interfacing/genexpert_error.astm": "cepheid_genexpert",
    "vlsm-interfacing/genexpert_french.astm": "cepheid_genexpert",
    "vlsm-interfacing/genexpert_hl7_inside_astm.astm": "cepheid_genexpert",
    "vlsm-interfacing/genexpert_ultra_pool.astm": "cepheid_genexpert",
    "vlsm-interfacing/genexpert_vl.astm": "cepheid_genexpert",
}


class Reading:
    """What one file gives under one profile."""

    def __init__(self, device: Device, wire: bytes) -> None:
        self.link: Transfer = transfer(device.dialect(), wire)
        self.read: list[tuple[Message, Report]] = []
        self.holds: list[str] = []
        for text in self.link.texts:
            messages, strays = device.read(text)
            self.read += messages
            self.holds += [h.code for h in strays]
        for _, report in self.read:
            self.holds += [h.code for h in report.holds]
            self.holds += [h.code for s in report.specimens for h in s.holds]

    @property
    def ids(self) -> list[str]:
        return [s.id for _, r in self.read for s in r.specimens]

    def count(self, kind: Kind = Kind.RESULT) -> int:
        return sum(o.kind is kind for _, r in self.read for s in r.specimens for o in s.observations())

    def records(self, letter: str) -> int:
        return sum(x.type == letter for m, _ in self.read for x in m.records)


def pairs() -> Iterator[tuple[str, str]]:
    for file in LIS02_FILES:
        yield file, "lis02_generic"
        if file in OWN:
            yield file, OWN[file]


@pytest.fixture(scope="module")
def table(captures: Path | None) -> dict[tuple[str, str], Reading]:
    if captures is None:
        return {}
    devices = {name: load(name) for name in SHIPPED}
    return {(file, name): Reading(devices[name], (captures / file).read_bytes()) for file, name in pairs()}


def test_every_file_is_read_and_every_result_record_is_accounted_for(table: dict[tuple[str, str], Reading]) -> None:
    print("\nfile · device · frames (refused) · specimens · results + others · held")
    for (file, name), seen in table.items():
        others = sum(seen.count(kind) for kind in Kind) - seen.count()
        held = ", ".join(dict.fromkeys(seen.holds)) or "-"
        refused = ", ".join(dict.fromkeys(seen.link.refused)) or "-"
        ids = " ".join(repr(i) for i in seen.ids)
        print(f"{file} · {name} · {seen.link.frames} ({refused}) · {ids} · {seen.count()} + {others} · {held}")
        graphics = seen.count(Kind.GRAPHIC)
        assert seen.count() + others - graphics == seen.records("R")
        assert seen.link.frames or seen.link.refused or seen.link.noise


GENERIC_IDS = {
    "go-astm/ih1000_bloodtype.astm": ["1122206642"],
    "go-astm/h550_result.astm": ["PX449L"],
    "senaite.astm/abbott_architect.txt": ["SID13"],
    # the id stands in O.4, or O.3 holds a counter: only the device's own profile can know, so the specimen is held
    "astmio/bs240_4sessions.astm": [""] * 4,
    "senaite.astm/abbott_afinion2.txt": [""],
    "senaite.astm/cobas_c111.txt": [""],
    "senaite.astm/cobas_c311.txt": [""],
    "senaite.astm/sysmex_xn550.txt": [""],
    "senaite.astm/sysmex_xp100.txt": [""],
    "senaite.lis2a/example_lis2a2_01.txt": ["927529"],
    "senaite.lis2a/example_lis2a2_02.txt": ["927529", "927533"],
    "senaite.serial.cli/taqman_session.astm": ["BP19-24277"],
    "vlsm-interfacing/taqman_values.astm": ["VL00000011", "VL00000012", "VL00000013"],
    "vlsm-interfacing/genexpert_ultra_pool.astm": ["", "0733"],
}
RESULTS = {
    ("astmio/bs240_4sessions.astm", "lis02_generic"): 18,
    ("go-astm/ih1000_bloodtype.astm", "lis02_generic"): 4,
    ("senaite.astm/abbott_afinion2.txt", "lis02_generic"): 1,
    ("senaite.astm/cobas_c311.txt", "lis02_generic"): 7,
    ("senaite.astm/sysmex_xp100.txt", "lis02_generic"): 20,
    ("senaite.lis2a/example_lis2a2_02.txt", "lis02_generic"): 4,
    ("vlsm-interfacing/taqman_values.astm", "lis02_generic"): 3,
    ("senaite.astm/genexpert.txt", "lis02_generic"): 84,
    # R records with an assay name; the one without assay and analyte has neither status nor time either
    ("senaite.astm/genexpert.txt", "cepheid_genexpert"): 3,
    ("vlsm-interfacing/genexpert_vl.astm", "cepheid_genexpert"): 1,  # the logarithm belongs to it
    ("vlsm-interfacing/genexpert_error.astm", "cepheid_genexpert"): 1,
    ("vlsm-interfacing/genexpert_french.astm", "cepheid_genexpert"): 5,
    ("vlsm-interfacing/genexpert_ultra_pool.astm", "cepheid_genexpert"): 6,
    ("senaite.astm/sysmex_xn550.txt", "sysmex_xn"): 23,
    ("senaite.astm/yumizen_h500.txt", "horiba_yumizen"): 21,
    ("go-astm/h550_result.astm", "lis02_generic"): 20,
}


def test_the_specimens_are_the_ones_the_index_names(table: dict[tuple[str, str], Reading]) -> None:
    for file, ids in GENERIC_IDS.items() if table else ():
        assert table[file, "lis02_generic"].ids == ids, file


def test_the_results_are_as_many_as_the_index_says(table: dict[tuple[str, str], Reading]) -> None:
    found = {key: table[key].count() for key in RESULTS if table}
    assert found == (RESULTS if table else {})


def test_the_holds_have_true_reasons(table: dict[tuple[str, str], Reading]) -> None:
    if not table:
        return
    pool = table["vlsm-interfacing/genexpert_ultra_pool.astm", "cepheid_genexpert"]
    assert pool.holds == ["several-specimen-ids"]
    assert table["vlsm-interfacing/genexpert_hl7_inside_astm.astm", "cepheid_genexpert"].holds == ["foreign-protocol"]
    maglumi = table["astmio/maglumi_astm_4sessions.astm", "lis02_generic"]
    assert maglumi.link.refused == ["no-checksum"] * 4  # a dialect of its own: the frames are evidence, not data
    strict = table["senaite.astm/yumizen_h500.txt", "lis02_generic"]
    assert set(strict.link.refused) == {"frame-number", "frame-number-reused"}  # the M frames repeat their number


def test_the_xn_capture_says_what_its_records_say(table: dict[tuple[str, str], Reading]) -> None:
    if not table:
        return
    [(_, report)] = table["senaite.astm/sysmex_xn550.txt", "sysmex_xn"].read
    [specimen] = report.specimens
    assert (specimen.id, specimen.patient.name, specimen.comments[0].text) == ("27", "Brown^Jim", "POST HD")
    seen = {o.code: o for o in specimen.observations()}
    assert (seen["WBC"].value, seen["WBC"].unit, seen["WBC"].dilution) == ("8.13", "10*3/uL", "1")
    assert (seen["Anemia"].kind, seen["NRBC?"].kind) == (Kind.INTERPRETATION, Kind.INTERPRETATION)
    assert seen["SCAT_WDF"].kind is Kind.OTHER
    assert seen["SCAT_WDF"].value == "PNG\\20240628\\2024_06_27_13_54_27_WDF.PNG"
    assert report.unread == ()


def test_the_genexpert_captures_say_what_their_records_say(table: dict[tuple[str, str], Reading]) -> None:
    if not table:
        return
    [(_, load)] = table["vlsm-interfacing/genexpert_vl.astm", "cepheid_genexpert"].read
    copies, log, *details = load.specimens[0].observations()
    assert (copies.value, copies.unit, copies.component, copies.kind) == ("1234.56", "copies/mL", "", Kind.RESULT)
    assert (log.value, log.component, log.kind) == ("3.09", "LOG", Kind.OTHER)
    assert {o.kind for o in details} == {Kind.RAW}
    [(_, error)] = table["vlsm-interfacing/genexpert_error.astm", "cepheid_genexpert"].read
    [failed] = error.specimens[0].observations()
    assert failed.value == "ERROR"
    assert failed.no_result.startswith("Error^2097^Operation terminated")
    [(_, ultra)] = table["senaite.astm/genexpert.txt", "cepheid_genexpert"].read
    results = [(o.code, o.value, o.no_result) for o in ultra.specimens[0].observations() if o.kind is Kind.RESULT]
    assert results == [("Xpert", "NOT DETECTED", ""), ("Trace", "", ""), ("RIF", "", "")]  # a note is no reason
    french = [r for _, r in table["vlsm-interfacing/genexpert_french.astm", "cepheid_genexpert"].read]
    assert [r.specimens[0].observations()[0].value for r in french] == [
        "60,96",
        "NON DÉTECTÉ",
        "DÉTECTÉ",
        "1420403,41",
        "ERREUR",
    ]


def test_results_and_details_under_one_code_are_held_by_the_generic_profile(
    table: dict[tuple[str, str], Reading],
) -> None:
    """Architect: result, interpretation and light units of one assay. GeneXpert: outcome and details of one test."""
    for file in ("senaite.astm/abbott_architect.txt", "vlsm-interfacing/genexpert_ultra_pool.astm") if table else ():
        reports = [r for _, r in table[file, "lis02_generic"].read]
        found = {h.code for r in reports for s in r.specimens for o in s.observations() for h in o.holds}
        assert found == {"test-code-unclear"}
        assert all(o.holds for r in reports for s in r.specimens for o in s.observations())


def test_the_yumizen_capture_is_a_control(table: dict[tuple[str, str], Reading]) -> None:
    if not table:
        return
    seen = table["senaite.astm/yumizen_h500.txt", "horiba_yumizen"]
    [(_, report)] = seen.read
    [specimen] = report.specimens
    assert (specimen.role, specimen.id) == ("Q", "PX440N")
    assert (specimen.control.level, specimen.control.name) == ("CTRL MEDIUM", "ABXdifftrol N")
    assert seen.link.refused == []
    assert seen.count(Kind.GRAPHIC) == 6
    assert max(len(o.graphic.data) for o in specimen.observations() if o.graphic) > 20_000


@pytest.mark.parametrize("name", ["sysmex_xn", "cepheid_genexpert", "horiba_yumizen"])
def test_the_grade_of_a_shipped_profile_is_what_the_kit_computes(name: str, captures: Path | None) -> None:
    device = load(name)
    if captures is None:
        return
    # the HL7 messages a switched GeneXpert sends are held, rightly, and prove nothing of its profile
    files = [f for f, own in OWN.items() if own == name and "hl7_inside" not in f]
    card = testkit.run(device, FOLDERS / SHIPPED[name], [(captures / f).read_bytes() for f in files])
    print(card)
    assert card.findings == ()
    assert card.grade == device.profile.grade == "captured"
