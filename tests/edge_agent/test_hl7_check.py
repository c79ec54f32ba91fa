"""`hl7 check`: which messages of a file are accepted, and what is wrong with the others, without their content.

The messages are written by hand from HL7 v2.5.1 (OUL_R22, chapter 7; ACK, chapter 2) and IHE LAW (OBX-29).
"""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from edge_agent.cli.main import main
from edge_agent.hl7_check import judge, split

MSH = "MSH|^~\\&|an1|seoul-01|IVD|CENTRAL|20240612091502+0900||OUL^R22^OUL_R22|{}|P|2.5.1"
LAW_OBX = "OBX|1|NM|GLU^^99ACM||5.1|mmol/L||N^^HL70078|||F|||||kd||XN-1000^Sysmex|20240612091200+0900||||||||||RSLT"
SPM, OBR = "SPM|1|S24-0028||SER|||||||P^Patient^HL70369", 'OBR|1|""||GLU^^99ACM'
GOOD = [MSH.format("K-1"), "PID|1||P-1017^^^LIS||KIM^MINJUN", SPM, OBR, LAW_OBX]
ACK = ["MSH|^~\\&|IVD|CENTRAL|||20240612||ACK^R22^ACK|A-1|P|2.5.1", "MSA|AA|K-1"]


def message(segments: list[str]) -> bytes:
    return "".join(f"{segment}\r" for segment in segments).encode()


def changed(old: str, new: str) -> bytes:
    text = message(GOOD).decode()
    assert old in text
    return text.replace(old, new).encode()


def check(path: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["hl7", "check", str(path), *words], catch_exceptions=False)


def checked(folder: Path, content: bytes) -> list[dict[str, Any]]:
    path = folder / "messages.hl7"
    path.write_bytes(content)
    found: list[dict[str, Any]] = json.loads(check(path, "--json").stdout)["messages"]
    return found


def test_a_law_message_is_accepted_although_hl7apy_does_not_know_law() -> None:
    verdict = judge(message(GOOD))
    assert (verdict.accepted, verdict.id, verdict.type) == (True, "K-1", "OUL^R22^OUL_R22")


def test_an_image_larger_than_a_line_is_no_reason_to_refuse() -> None:
    image = LAW_OBX.replace("|NM|", "|ED|").replace("|5.1|mmol/L|", "|^Image^PNG^Base64^" + "A" * 100_000 + "||")
    assert judge(message([*GOOD[:-1], image])).accepted


@pytest.mark.parametrize(
    ("old", "new", "segment", "says"),
    [
        ("|F|||||kd|", "|F^X|||||kd|", 5, "OBX_11"),
        ("P-1017^^^LIS", "", 2, "Missing required child PID.PID_3"),
        ("20240612091502+0900", "yesterday", 1, "no valid date"),
        ("SPM|1|S24-0028", "SPM|1|" + "S24-0028" * 50, 3, "longer than its type allows"),
        ("OBR|1|", "KIM|1|", 4, "a segment that this version of HL7 does not have"),
        ("OUL^R22^OUL_R22", "OUL^R99^OUL_R99", 0, "a message type, segment or field that this version"),
        ("|2.5.1", "|9.9", 0, "MSH-12"),
    ],
)
def test_what_is_wrong_is_said_with_its_segment(old: str, new: str, segment: int, says: str) -> None:
    problems = judge(changed(old, new)).problems
    assert [(p.segment, says in p.text) for p in problems] == [(segment, True)], problems


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("20240612091502+0900", "KIM MINJUN"),
        ("SPM|1|S24-0028", "SPM|1|" + "S24-0028" * 50),
        ("OBR|1|", "KIM MINJUN S24-0028|"),
        ("|F|||||kd|", "|KIM^S24-0028|||||kd|"),
    ],
)
def test_what_is_wrong_is_said_without_the_content(old: str, new: str) -> None:
    said = " ".join(p.name + p.text for p in judge(changed(old, new)).problems)
    assert said
    assert not {word for word in ("MINJUN", "S24-0028", "KIM S") if word in said}


@pytest.mark.parametrize(
    "content",
    [
        b"MSH",
        b"MSH|",
        b"MSH|\r",
        b"PID|1\r",
        b"\xff\xfe",
        b"\x0b\x1c\r",
        b"MSH|^~\\&\xff\r",
        b"hello\n",
        b"MSH|^~\\&" * 9,
    ],
)
def test_what_is_no_message_is_refused(content: bytes, tmp_path: Path) -> None:
    assert [m["accepted"] for m in checked(tmp_path, content)] == [False]


@pytest.mark.parametrize("content", [b"", b"\r\n \n", b"FHS|^~\\&\rBHS|^~\\&\rBTS|0\rFTS|0\r"])
def test_a_file_without_a_message_is_refused(content: bytes, tmp_path: Path) -> None:
    [only] = checked(tmp_path, content)
    assert (only["message"], only["problems"][0]["text"]) == (0, "there is no HL7 message in it")


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_segments_may_end_as_the_file_likes(end: str, tmp_path: Path) -> None:
    content = "".join(segment + end for segment in [*GOOD, "", *ACK]).encode()
    assert [(m["id"], m["accepted"]) for m in checked(tmp_path, content)] == [("K-1", True), ("A-1", True)]


def test_the_last_segment_may_have_no_end(tmp_path: Path) -> None:
    assert [m["accepted"] for m in checked(tmp_path, message(ACK).rstrip(b"\r"))] == [True]


def test_mllp_frames_are_taken_out_of_their_frames(tmp_path: Path) -> None:
    framed = b"\x0b" + message(GOOD) + b"\x1c\r" + b"\x0b" + message(ACK) + b"\x1c\r"
    assert list(split(framed)) == [message(GOOD), message(ACK)]
    assert [m["accepted"] for m in checked(tmp_path, framed)] == [True, True]
    assert [m["accepted"] for m in checked(tmp_path, framed[:-2])] == [True, True]  # a capture that was cut off


def test_what_stands_outside_the_frames_is_refused(tmp_path: Path) -> None:
    framed = b"rubbish\x0b" + message(GOOD) + b"\x1c\r"
    assert [m["accepted"] for m in checked(tmp_path, framed)] == [False, True]


def test_a_batch_is_looked_at_without_its_envelope(tmp_path: Path) -> None:
    batch = b"FHS|^~\\&\rBHS|^~\\&\r" + message(ACK) + message(GOOD) + b"BTS|2\rFTS|1\r"
    assert [(m["id"], m["accepted"]) for m in checked(tmp_path, batch)] == [("A-1", True), ("K-1", True)]


def test_the_exit_status_and_the_text_say_which_message_is_refused(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.hl7", tmp_path / "bad.hl7"
    good.write_bytes(message(GOOD))
    bad.write_bytes(message(ACK) + changed("|F|||||kd|", "|F^X|||||kd|"))
    accepted, refused = check(good), check(good, str(bad))
    assert (accepted.exit_code, refused.exit_code) == (0, 1)
    assert accepted.stdout.splitlines() == [
        f"{good} message 1 (OUL^R22^OUL_R22 K-1): accepted",
        "1 looked at, 0 refused.",
    ]
    lines = refused.stdout.splitlines()
    assert lines[1] == f"{bad} message 1 (ACK^R22^ACK A-1): accepted"
    assert lines[2] == f"{bad} message 2 (OUL^R22^OUL_R22 K-1): refused"
    assert lines[3].startswith("  segment 5 (OBX): ")
    assert lines[4] == "3 looked at, 1 refused."


def test_a_file_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    assert check(tmp_path / "none.hl7").exit_code == 2
    assert check(tmp_path).exit_code == 2
