"""Profiles: what may be said, how mistakes are told, what a site may change."""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drivers.errors import ProfileError
from drivers.profile import Profile, json_schema, load_profile, merge, parse_profile
from drivers.profile_result import loinc_check_digit
from drivers.sdk import FOLDERS, SHIPPED, Device

MINIMAL = "api_version = 1\nrevision = 1\n"

# every key of schema version 1, as an integrator may write it
EVERYTHING = """
api_version = 1
revision = 3
vendor = "Acme"
model = "A1"
aliases = ["A2"]
protocol = "lis02"
sources = ["manual p. 3"]
grade = "drafted"
usual_gap_s = 3600
timezone_default = "Asia/Seoul"
recognise = [{ path = "H.5.1", match = "^XN" }]
unused = ["M", "O.19", "R.3.6"]
[link]
source = "p. 1"
framing = "auto"
checksum = "xor1"
frame_number = "continues"
trailer = "any"
etb = "record"
max_frame = 240
max_message = 1000000
ack_unit = "message"
end_of_message = "EOT"
idle_s = 5
receive_s = 20.5
reply_s = 15
busy_s = 10
contention_s = 20
nak_limit = 3
poll = "ENQ"
half_duplex = true
resync = ["enq_again", "nul"]
[mllp]
start = "0B"
end = "lenient"
ack = { mode = "enhanced", msh18 = "UTF-8", esu = "ack", echo = ["MSH-10"] }
[layout]
frame_start = "02"
frame_end = "03"
check = "none"
separator = ","
fields = [{ name = "id", at = "@5-12" }, { name = "value", nth = 3 }]
repeat = [{ start = 20, width = 10, count = 0, fields = [{ name = "code", at = "@1-4" }] }]
[text]
charset = "latin-1"
undecodable = "hold"
escapes = "none"
record_sep = "cr"
strip = "outer"
decimal = ","
group = "."
[records]
unknown = "keep"
levels = { M = 4, X = 3 }
attach = { C = "previous", M = "record", Z = "R" }
empty_ok = ["H", "L"]
[[select]]
source = "p. 4"
record = "R"
when = [{ path = "R.3.5", empty = true }, { path = "R.4", in = ["a", "b"] }, { path = "R.9", equals = "X" }]
as = "raw"
attach_to = "previous"
[specimen]
source = "p. 5"
id = ["O.3.1", "O.4.1"]
capture = "^(?P<id>[^-]+)"
multiple = "each"
max_length = 15
identity = ["specimen", "patient"]
type = { path = "O.16.1", map = { S = "SER" }, default = "" }
instrument_id = ["O.4"]
rack = "O.4.1"
position = ["O.4.2"]
patient_id = ["P.4"]
patient_name = ["P.6.2", "P.6.1"]
priority = ["O.6"]
[result]
source = "p. 6"
code = ["R.3.4"]
name = ["R.3.2"]
component = ["R.3.5"]
normalise = ["blanks", "upper", "suffix:/", "before:*"]
value = ["R.4"]
unit = ["R.5"]
range = ["R.6.1"]
flags = { path = "R.7", split = "chars", map = { h = "H" } }
value_split = ["^(?P<value>[^ ]+) (?P<unit>.+)$"]
no_result = { texts = ["---"], reason = ["C.4"] }
status = { path = "R.9", map = { V = "F" } }
status_default = "F"
time = ["R.13"]
time_formats = ["DD-MM-YYYY hh:mm"]
implausible = ["^0+$"]
run = ["R.2"]
replicate = { rule = "last_main" }
dilution = ["R.3.5"]
operator = ["R.11.1"]
volatile = ["flags", "time"]
resend_marker = { path = "O.11", equals = "r" }
resend_horizon_s = 600
[[test]]
code = "GLU"
when = { specimen = "SER", unit = "mmol/L", component = "" }
name = "Glucose"
loinc = "14749-6"
loinc_name = "Glucose [Moles/volume] in Serum or Plasma"
units = { "mmol/L" = "mmol/L" }
unit_when_absent = "mmol/L"
kind = "quantitative"
values = { pos = "POS" }
source = "p. 9"
orderable = true
[qc]
source = "p. 7"
rules = [{ path = "O.16.1", equals = "CTRL", role = "Q" }, { path = "O.3.1", match = "^QC", role = "C" }]
role_default = "hold"
lot = ["O.3.1"]
level = "O.16.3"
name = []
expiry = []
conflict = "hold"
[[comment]]
source = "p. 8"
when = [{ path = "C.5", equals = "I" }]
as = "flag"
[graphics]
source = "p. 10"
path = ["M.6.2"]
part = ["curve"]
form = ["M.6.1"]
code = ["M.5"]
encoding = "Base64"
media_type = "IM"
subtype = "PNG"
max_bytes = 200000
[query]
source = "p. 11"
forms = ["Q.3.2", "Q.3.3"]
patience_s = 10
negative = "empty"
on_unknown = "negative"
[order]
source = "p. 12"
shape = "one_O_per_test"
template = ""
action_codes = { add = "A" }
cancel = true
push = false
[times]
source = "p. 13"
order = "DMY"
zone = "field"
"""


def parse(text: str) -> Profile:
    return parse_profile(tomllib.loads(text))


def mistakes(text: str) -> str:
    with pytest.raises(ProfileError) as caught:
        parse(text)
    return "\n".join(caught.value.problems)


def test_every_key_of_the_schema_can_be_said() -> None:
    profile = parse(EVERYTHING)
    assert str(profile.specimen.rack[0]) == "O.4.1"
    assert profile.link.dialect().resync == frozenset({"enq_again", "nul"})
    assert profile.link.dialect().receive_s == 20.5


def test_two_lines_are_a_profile_and_mean_the_standard() -> None:
    profile = parse(MINIMAL)
    assert [str(p) for p in profile.result.code] == ["R.3.4"]
    assert [str(p) for p in profile.specimen.id] == ["O.3.1"]
    assert profile.link.dialect().checksum == "standard"
    assert profile.qc.role_default == "patient"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('vender = "x"', 'vender is not known; did you mean "vendor"?'),
        ('[link]\nchecksums = "none"', 'link.checksums is not known; did you mean "checksum"?'),
        ('[[select]]\nas = "raw"\nwhen = [{ path = "R.3", equal = "x" }]', 'did you mean "equals"?'),
        ('[link]\nchecksum = "md5"', "link.checksum: \"md5\" is not one of 'standard', 'none'"),
        ('[result]\ncode = ["R3"]', 'result.code: "R3" is no path'),
        ('[specimen]\nmax_length = "15"', "specimen.max_length"),
        ('[[test]]\ncode = "A"', "test[1].source is missing"),
        ('[[test]]\ncode = "A"\nsource = "x"\nloinc = "2345-8"', 'test[1].loinc: "2345-8" is no LOINC code'),
        ('[[test]]\ncode = "*"\nsource = "x"\nloinc = "2345-7"', 'code "*" gives units only'),
        ('[[select]]\nwhen = [{ path = "R.3" }]\nas = "raw"', "give exactly one of equals, match, empty, in"),
        ('[[select]]\nwhen = [{ path = "R.3", equals = "a", empty = true }]\nas = "raw"', "give exactly one of"),
        ('recognise = [{ path = "H.5", match = ".*XN" }]', "can also eat what follows it"),
        ('[result]\nvalue_split = ["^(?P<unit>.+)$"]', "value is needed"),
        ('[result]\nnormalise = ["lower"]', '"lower" is no step'),
        ('[result]\ntime_formats = ["DD-MM"]', '"DD-MM" is no time format'),
        ('[specimen]\ncapture = "^[0-9]+$"', 'capture needs a group "(?P<id>...)"'),
        ('[text]\ncharset = "utf-9"', 'no character set is called "utf-9"'),
        ('unused = ["x.1"]', '"x.1" is no path'),
        ("[layout]\nfields = [{ name = 'id', at = '@9-3' }]", "the first is not after the last"),
        ("[link]\nnak_limit = 0", "link.nak_limit"),
    ],
)
def test_a_mistake_is_a_sentence_with_its_place(text: str, sentence: str) -> None:
    assert sentence in mistakes(MINIMAL + text)


def test_all_mistakes_come_at_once() -> None:
    told = mistakes('api_version = 2\nvender = "x"\n[link]\nchecksum = "md5"\n')
    assert len(told.splitlines()) == 4  # version, missing revision, unknown key, unknown checksum
    assert "revision is missing" in told


def test_a_number_is_not_taken_for_a_text_nor_a_text_for_a_number() -> None:
    assert "vendor" in mistakes(MINIMAL + "vendor = 5")
    assert "revision" in mistakes('api_version = 1\nrevision = "1"')


def test_a_loaded_profile_does_not_change() -> None:
    profile = parse(MINIMAL)
    with pytest.raises(ValueError, match="frozen"):
        profile.revision = 2  # type: ignore[misc]  # that it may not is the test


def test_tables_are_merged_key_by_key_and_lists_replaced() -> None:
    base = {"a": {"b": 1, "c": [1, 2]}, "d": [1]}
    assert merge(base, {"a": {"c": [3]}, "e": 4}) == {"a": {"b": 1, "c": [3]}, "d": [1], "e": 4}
    assert base == {"a": {"b": 1, "c": [1, 2]}, "d": [1]}


def test_a_site_changes_one_key_and_keeps_the_rest(tmp_path: Path) -> None:
    over = tmp_path / "sysmex_xn.toml"
    over.write_text('[text]\ncharset = "latin-1"\n', encoding="utf-8")
    shipped = load_profile(FOLDERS / "sysmex_xn")
    changed = load_profile(FOLDERS / "sysmex_xn", over)
    assert changed.text.charset == "latin-1"
    assert changed.text.strip == "outer"
    assert changed.test == shipped.test
    assert changed.hash != shipped.hash


def test_a_mistake_of_the_site_names_both_files(tmp_path: Path) -> None:
    over = tmp_path / "sysmex_xn.toml"
    over.write_text('[text]\ncharsett = "latin-1"\n', encoding="utf-8")
    with pytest.raises(ProfileError, match=r"sysmex_xn/profile.toml with sysmex_xn.toml: text.charsett is not known"):
        load_profile(FOLDERS / "sysmex_xn", over)


def test_a_file_that_is_no_toml_or_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="cannot be read"):
        load_profile(tmp_path)
    (tmp_path / "profile.toml").write_text("api_version = ", encoding="utf-8")
    with pytest.raises(ProfileError, match="not TOML"):
        load_profile(tmp_path)


def test_the_hash_is_of_the_content_and_not_of_its_layout() -> None:
    one = parse('api_version = 1\nrevision = 1\nvendor = "A"\n[link]\nchecksum = "none"\ntrailer = "any"\n')
    other = parse(
        '# said otherwise\nrevision = 1\nvendor = "A"\napi_version = 1\nlink = { trailer = "any", checksum = "none" }\n'
    )
    assert one.hash == other.hash
    assert len(one.hash) == 64
    assert parse(MINIMAL).hash != one.hash


@pytest.mark.parametrize(
    ("code", "digit"),
    # the numbers both Yumizen captures send with their check digits
    [("6690", "2"), ("789", "8"), ("718", "7"), ("32623", "1"), ("21000", "5"), ("777", "3")],
)
def test_loinc_check_digits(code: str, digit: str) -> None:
    assert loinc_check_digit(code) == digit


def test_the_json_schema_in_config_is_the_schema_in_code() -> None:
    shipped = Path(__file__).parents[2] / "config" / "device-profile.schema.json"
    assert json.loads(shipped.read_text(encoding="utf-8")) == json_schema()


def test_the_json_schema_knows_every_key_of_the_everything_profile() -> None:
    schema = json_schema()

    def keys(table: dict[str, Any], node: dict[str, Any]) -> None:
        node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]] if "$ref" in node else node
        for key, value in table.items():
            below = node["properties"][key]
            if isinstance(value, dict) and ("$ref" in below):
                keys(value, below)

    keys(tomllib.loads(EVERYTHING), schema)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_profile_written_down_is_read_again_as_the_same(name: str) -> None:
    profile = load_profile(FOLDERS / SHIPPED[name])
    again = Profile.model_validate_json(profile.model_dump_json())
    assert again == profile
    assert again.hash == profile.hash


def test_the_everything_profile_survives_being_written_down() -> None:
    profile = parse(EVERYTHING)
    assert Profile.model_validate_json(profile.model_dump_json()).hash == profile.hash


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_profile_names_a_source_for_every_code(name: str, device_with: Callable[[str], Device]) -> None:
    profile = load_profile(FOLDERS / SHIPPED[name])
    assert profile.sources
    assert all(entry.source for entry in profile.test)


@pytest.mark.parametrize("text", ["revision = " + "9" * 5000, "aliases = " + "[" * 5000], ids=["long", "deep"])
def test_what_no_profile_can_mean_is_a_mistake_of_the_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "lis02_generic.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ProfileError) as caught:
        load_profile(FOLDERS / "lis02_generic", tmp_path / "lis02_generic.toml")
    assert "longer or deeper" in caught.value.problems[0]
