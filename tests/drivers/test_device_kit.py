"""The shipped devices keep what their samples say, and the kit notices when one does not."""

import json
import shutil
import tomllib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from drivers import testkit
from drivers.profile import merge, parse_profile
from drivers.sdk import FOLDERS, SHIPPED, Device, load


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_device_passes_the_kit(name: str) -> None:
    card = testkit.run(load(name), FOLDERS / SHIPPED[name])
    print(card)
    assert card.findings == ()
    assert card.samples >= 5


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A device folder to spoil: the Sysmex with two of its samples."""
    folder = tmp_path / "sysmex_xn"
    shipped = FOLDERS / "sysmex_xn"
    shutil.copytree(shipped, folder, ignore=shutil.ignore_patterns("samples"))
    for case in ("control_run", "masked_values"):
        shutil.copytree(shipped / "samples" / case, folder / "samples" / case)
    return folder


def changed(text: str) -> Device:
    base = tomllib.loads((FOLDERS / "sysmex_xn" / "profile.toml").read_text(encoding="utf-8"))
    return Device("sysmex_xn", parse_profile(merge(base, tomllib.loads(text))))


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ('specimen = { id = ["O.3.1"] }', "control_run: held is [('no-specimen-id', 'specimen 1')]"),
        ('result = { code = ["R.3.4"] }', "masked_values: specimen 1: : code is '', expected 'WBC'"),
        ('result = { unit = ["R.6"] }', "unit is '', expected '10*3/uL'"),
        ("result = { no_result = { texts = [] } }", "no_result is False, expected True"),
        ('unused = ["H.10"]', "neither mapped nor unused: O.4.4"),
        ('[link]\nsource = "x"\nchecksum = "none"\n', "control_run"),
        ('recognise = [{ path = "H.5.1", equals = "XP" }]', "('wrong-device', 'message')"),
        ('qc = { source = "x", rules = [{ path = "O.4.3", match = "^QC", role = "C" }] }', "role-undecided"),
        ('specimen = { source = "" }', "specimen names no source"),
        ("sources = []", "the profile names no sources"),
    ],
)
def test_a_profile_that_is_wrong_fails_the_kit(copy: Path, change: str, finding: str) -> None:
    assert testkit.run(load("sysmex_xn"), copy).findings == ()  # the control: unspoiled it passes
    card = testkit.run(changed(change), copy)
    assert not card.passed
    assert finding in str(card)


def test_a_field_that_is_neither_mapped_nor_unused_is_named_to_the_component() -> None:
    device = changed("unused = []")
    [(message, _)], _ = device.read(b"H|\\^&|||XN-1\rO|1||^^S1^B|||||||||||||||x\rR|1|^^^^A^1^x|1\rL|1\r")
    assert testkit.unmapped(message, device.profile.coverage) == ["O.19.1", "O.4.4", "R.3.7"]


@pytest.mark.parametrize(
    ("edit", "finding"),
    [
        (lambda e: e["specimens"][0].update(id="QC-1"), "id is 'QC-42140811', expected 'QC-1'"),
        (lambda e: e["specimens"][0].update(role="P"), "role is 'Q', expected 'P'"),
        (lambda e: e["specimens"][0]["observations"].pop(), "number of results is 4, expected 3"),
        (lambda e: e["specimens"][0]["observations"][0].update(value="7.0"), "value is '7.02', expected '7.0'"),
        (lambda e: e["specimens"][0]["observations"][0].update(flags=[]), "flags is ['N'], expected []"),
        (lambda e: e["specimens"][0]["observations"][0].update(ucum=""), "ucum is '10*3/uL', expected ''"),
        (lambda e: e.update(not_results=1), "not_results is 0, expected 1"),
        (lambda e: e.update(unread=[{"type": "M"}]), "unread is [], expected ['M']"),
        (lambda e: e.update(held=[{"code": "role-undecided", "where": "specimen 1"}]), "held is []"),
        (lambda e: e.update(valeus=1), 'the kit does not know the key "valeus"'),
        (lambda e: e["specimens"].append({"id": "x"}), "number of specimens is 1, expected 2"),
    ],
)
def test_the_kit_notices_each_kind_of_difference(
    copy: Path, edit: Callable[[dict[str, object]], object], finding: str
) -> None:
    path = copy / "samples" / "control_run" / "expected.json"
    expected = json.loads(path.read_text(encoding="utf-8"))
    edit(expected)
    path.write_text(json.dumps(expected), encoding="utf-8")
    assert finding in str(testkit.run(load("sysmex_xn"), copy))


def test_a_damaged_byte_in_a_sample_fails_the_kit(copy: Path) -> None:
    path = copy / "samples" / "control_run" / "wire.bin"
    wire = bytearray(path.read_bytes())
    wire[wire.index(b"7.02")] ^= 1
    path.write_bytes(bytes(wire))
    assert "frame refused: checksum" in str(testkit.run(load("sysmex_xn"), copy))


def test_a_folder_lacks_nothing(copy: Path) -> None:
    (copy / "README.md").unlink()
    (copy / "samples" / "control_run" / "PROVENANCE.md").unlink()
    findings = testkit.run(load("sysmex_xn"), copy).findings
    assert findings == ("README.md is missing", "control_run: PROVENANCE.md is missing")


def test_the_grade_is_computed_and_may_not_be_overstated(copy: Path) -> None:
    device = load("sysmex_xn")
    traffic = (copy / "samples" / "control_run" / "wire.bin").read_bytes()
    assert testkit.run(device, copy).grade == "drafted"
    assert testkit.run(device, copy, [traffic]).grade == "captured"
    foreign = traffic.replace(b"XN-1000", b"XP-1000")
    card = testkit.run(changed('link = { checksum = "none" }'), copy, [foreign])
    assert card.grade == "drafted"
    (copy / "CONFIRMED.md").write_text("a laboratory, a date\n", encoding="utf-8")
    assert testkit.run(device, copy).grade == "confirmed"


def test_cuts_cover_both_ends_and_the_middle() -> None:
    assert testkit.cuts(5) == [1, 2, 3, 4]
    places = testkit.cuts(1000)
    assert places[:3] == [1, 2, 3]
    assert places[-3:] == [997, 998, 999]
    assert max(b - a for a, b in pairwise(places)) <= 1000 // testkit.CUTS_PER_SAMPLE
