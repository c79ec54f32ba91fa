"""HL7 TS from analysers' clocks.

Offsets from the published rules: Seoul +09:00 all year; Berlin changes on 31 March 2024 at 02:00 and on 27 October 2024
at 03:00; New York on 10 March and 3 November 2024 at 02:00; Sao Paulo went back on 18 February 2018 at 00:00 and
forward on 4 November 2018 at 00:00, the last time.
"""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.to_hl7_time import Moment, moment, plain_date, stamp

SEOUL, BERLIN, NEW_YORK = ZoneInfo("Asia/Seoul"), ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")
SAO_PAULO = ZoneInfo("America/Sao_Paulo")
KATHMANDU = ZoneInfo("Asia/Kathmandu")


@pytest.mark.parametrize(
    ("sent", "zone", "text"),
    [
        ("20240301101200", SEOUL, "20240301101200+0900"),
        ("202403011012", SEOUL, "202403011012+0900"),
        ("2024030110", SEOUL, "2024030110+0900"),
        ("20240301", SEOUL, "20240301+0900"),
        ("20240301101200", BERLIN, "20240301101200+0100"),
        ("20240701101200", BERLIN, "20240701101200+0200"),
        ("20240301101200", NEW_YORK, "20240301101200-0500"),
        ("20240301101200", KATHMANDU, "20240301101200+0545"),
        ("20240301101200.5", SEOUL, "20240301101200.5+0900"),
        ("20240301101200.1234", SEOUL, "20240301101200.1234+0900"),
        ("20240301101200+0200", SEOUL, "20240301101200+0200"),
        ("20240301-0330", SEOUL, "20240301-0330"),
        ("20240229235959", SEOUL, "20240229235959+0900"),
        ("20000101000000", SEOUL, "20000101000000+0900"),
    ],
)
def test_a_time_as_sent_gets_the_offset_of_the_analysers_zone(sent: str, zone: ZoneInfo, text: str) -> None:
    assert moment(sent, zone) == Moment(text)


@pytest.mark.parametrize(
    "sent",
    [
        "00000000000000",
        "19700101020000",
        "19991231235959",
        "20240000",
        "20240230",
        "20230229120000",
        "20241301",
        "20240301240000",
        "20240301106000",
        "20240301101260",
        "21000101",
        "2024",
        "202403",
        "2024030",
        "202403011012001",
        "20240831 16:35.16",
        "2024-03-01",
        "18-11-2021",
        "30082024",
        "10/25/24",
        "18,05,2019",
        "20240301101200.",
        "20240301101200.12345",
        "202403011012.5",
        "20240301101200+09",
        "20240301101200+0960",
        "20240301101200+1500",
        "20240301101200Z",
        "٢٠٢٤٠٣٠١",
        " 20240301",
        "yesterday",
    ],
)
def test_what_is_no_time_or_cannot_be_one_is_left_out_and_said(sent: str) -> None:
    assert moment(sent, SEOUL) == Moment("", complete=False)
    assert moment(sent, BERLIN) == Moment("", complete=False)


@pytest.mark.parametrize("sent", ["", '""'])
def test_no_time_is_no_time_and_nobody_is_told(sent: str) -> None:
    assert moment(sent, SEOUL) == plain_date(sent) == Moment("")


@pytest.mark.parametrize(
    ("sent", "text", "zone"),
    [
        ("20241027023000", "20241027+0200", BERLIN),  # twice: +0200, an hour later +0100
        ("20241103013000", "20241103-0400", NEW_YORK),
        ("20240331023000", "20240331+0100", BERLIN),  # never: the clock jumps from 02:00 to 03:00
        ("20240310023000", "20240310-0500", NEW_YORK),
        ("20180217233000.5", "20180217-0200", SAO_PAULO),  # midnight goes back to 23:00 of the 17th
        ("20181104003000", "20181104", SAO_PAULO),  # the day itself starts in the skipped hour
    ],
)
def test_an_hour_with_two_offsets_or_none_sends_its_date_only(sent: str, text: str, zone: ZoneInfo) -> None:
    assert moment(sent, zone) == Moment(text, complete=False)


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        ("20241027015959", "20241027015959+0200"),
        ("20241027030000", "20241027030000+0100"),
        ("20240331015959", "20240331015959+0100"),
        ("20240331030000", "20240331030000+0200"),
    ],
)
def test_the_minutes_beside_a_clock_change_are_sure(sent: str, text: str) -> None:
    assert moment(sent, BERLIN) == Moment(text)


def test_the_doubtful_hour_would_be_an_hour_wrong_if_guessed() -> None:
    wall = datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN)
    assert wall.utcoffset() != wall.replace(fold=1).utcoffset()


def test_a_doubtful_hour_that_came_with_its_offset_is_sure() -> None:
    assert moment("20241027023000+0100", BERLIN) == Moment("20241027023000+0100")


def test_a_day_has_the_offset_it_starts_with() -> None:
    assert moment("20241027", BERLIN) == Moment("20241027+0200")
    assert moment("20181104", SAO_PAULO) == Moment("20181104")


@pytest.mark.parametrize("sent", ["1931", "193105", "19310512", "19700101", "20270630235959"])
def test_a_date_of_birth_or_expiry_is_sent_as_it_is(sent: str) -> None:
    assert plain_date(sent) == Moment(sent)


@pytest.mark.parametrize("sent", ["00000000", "19310230", "12/05/1931", "1849", "1931-05-12", "193", "45Y"])
def test_a_date_the_calendar_does_not_have_is_left_out_and_said(sent: str) -> None:
    assert plain_date(sent) == Moment("", complete=False)


def test_our_own_time_is_written_in_the_analysers_zone() -> None:
    at = datetime(2024, 3, 1, 9, 15, 2, 999999, tzinfo=UTC)
    assert stamp(at, SEOUL) == "20240301181502+0900"
    assert stamp(at, NEW_YORK) == "20240301041502-0500"


@given(st.text(alphabet="0123456789+-. :/", max_size=20))
def test_no_text_raises_and_what_is_sent_says_nothing_that_was_not(sent: str) -> None:
    for made in (moment(sent, BERLIN), plain_date(sent)):
        assert made.text == "" or made.text.startswith(sent[:8].rstrip("+-"))
        assert made.complete or len(made.text) in (0, 8, 13)
