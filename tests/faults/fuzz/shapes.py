"""How Hypothesis makes inputs: seeds with edits, words of the format in any order, for some formats their shape."""

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any

from faults.fuzz.files import configurations, profiles
from faults.fuzz.payloads import JSON_WORDS
from faults.fuzz.target import Target
from hypothesis import strategies as st

Bytes = st.SearchStrategy[bytes]
_NUMBERS = st.one_of(
    st.integers(),
    st.floats(),
    st.just(float("inf")),
    st.sampled_from([0, -1, 2**63, 10**40, float("inf"), float("nan")]),
)
_PLAIN = st.one_of(
    st.none(), st.booleans(), _NUMBERS, st.text(max_size=8), st.sampled_from(["an1", "held", "t1", "\x00"])
)
_ANY = st.recursive(
    _PLAIN,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=8,
)


def inputs(target: Target) -> Bytes:
    made = [spoiled(target.seeds(), target.words), words(target.words)]
    return st.one_of(*made, _SHAPES[target.name]) if target.name in _SHAPES else st.one_of(*made)


def words(known: Sequence[bytes]) -> Bytes:
    return st.lists(st.one_of(st.sampled_from(known), st.binary(max_size=8)), max_size=40).map(b"".join)


def spoiled(seeds: Sequence[bytes], known: Sequence[bytes]) -> Bytes:
    """A seed in which some bytes are replaced, put in, or taken out; or that is cut off."""
    piece = st.one_of(st.just(b""), st.sampled_from(known), st.binary(max_size=4))
    edits = st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 8), piece), max_size=6)
    cut = st.one_of(st.none(), st.integers(0, 1 << 16))
    return st.builds(_edited, st.sampled_from(seeds), edits, cut)


def _edited(seed: bytes, edits: Sequence[tuple[int, int, bytes]], cut: int | None) -> bytes:
    for at, gone, put in edits:
        place = at % (len(seed) + 1)
        seed = seed[:place] + put + seed[place + gone :]
    return seed if cut is None else seed[: cut % (len(seed) + 1)]


def _object(**keys: st.SearchStrategy[Any]) -> Bytes:
    """A JSON object with these keys, each as it should be, or anything, or missing."""
    fields = {name: st.one_of(good, good, good, _ANY) for name, good in keys.items()}
    return st.one_of(st.fixed_dictionaries(keys), st.fixed_dictionaries({}, optional=fields)).map(
        lambda made: json.dumps(made).encode()
    )


_NAMES = st.sampled_from(["status", "queue", "show", "trace", "retry", "release", "set-aside"])
_IDS = st.lists(st.sampled_from(["t1", "t999999999999", "x", "0A1B2C3D-00000000001", "\ud800"]), max_size=3)
_SPANS = st.lists(st.lists(st.integers(-1, 1200), min_size=1, max_size=3), max_size=4)
_BIRTH = _object(online=st.booleans(), timestamp=_NUMBERS, state=st.just("ready"), session=st.text(max_size=4))


_TOML_VALUES = (
    *(
        "true",
        "0",
        "-1",
        "1e400",
        "nan",
        "inf",
        "1979-05-27",
        "07:32:00",
        '""',
        '"a"',
        '"\\u0000"',
        "0x7fffffffffffffffff",
    ),
    *('"tcp-server://0.0.0.0:1"', '"10.0.0.0/8"', '"lis02_generic"', '"(a|a)*$"', '"R.4[1].1"', "9" * 5000, "[" * 300),
)


def _toml_value() -> st.SearchStrategy[str]:
    def inside(value: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        lists = st.lists(value, max_size=3).map(lambda made: f"[{', '.join(made)}]")
        return st.one_of(lists, value.map(lambda made: f"{{ a = {made} }}"))

    return st.recursive(st.sampled_from(_TOML_VALUES), inside, max_leaves=4)


def _toml(examples: Sequence[bytes]) -> Bytes:
    """The tables and keys of real files, with any values."""
    lines = [line.strip("# ") for text in examples for line in text.decode().splitlines()]
    tables = sorted({line for line in lines if line.startswith("[") and line.endswith("]")})
    keys = sorted({line.split(" = ")[0] for line in lines if " = " in line and line.split(" = ")[0].isidentifier()})
    pair = st.builds(lambda key, value: f"{key} = {value}", st.sampled_from(keys), _toml_value())
    return st.lists(st.one_of(pair, st.sampled_from(tables)), max_size=12).map(lambda made: "\n".join(made).encode())


def _tar() -> Bytes:
    """Members of any kind, each with a header that adds up."""
    kinds = st.sampled_from([b"0", b"5", b"1", b"2", b"L", b"K", b"x", b"g", b"S", b"V", b"\0"])
    names = st.sampled_from(["manifest.json", "agent.db", "../x", "/etc/x", "profiles/a.json"])
    content = st.one_of(
        st.binary(max_size=40),
        st.sampled_from(
            [b"19 GNU.sparse.map=0\n", b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n", b"11 size=-1\n", b"0 a=b\n"]
        ),
    )
    member = st.tuples(kinds, names, content)
    few = st.lists(member, max_size=5)
    return st.one_of(few, st.builds(lambda one, n: [one] * n, member, st.sampled_from([3, 1500]))).map(_members)


def _members(members: Sequence[tuple[bytes, str, bytes]]) -> bytes:
    out = io.BytesIO()
    for kind, name, content in members:
        info = tarfile.TarInfo(name)
        info.type, info.size = kind, len(content)
        out.write(info.tobuf(tarfile.GNU_FORMAT))
        out.write(content + bytes(-len(content) % 512))
    return out.getvalue()


_SHAPES: Mapping[str, Bytes] = {
    "state": st.lists(_BIRTH, max_size=4).map(b"\x1e".join),
    "retained": st.one_of(_BIRTH, words(JSON_WORDS)).map(lambda made: b"state\x1e" + made),
    "reconcile": _object(
        store=st.just("0A1B2C3D"), analyser=st.just("an1"), last_filed=st.integers(0, 2000), gaps=_SPANS
    ),
    "control": _object(
        ask=_NAMES,
        id=st.sampled_from(["t1", "S24-0028"]),
        ids=_IDS,
        state=st.sampled_from(["held", "queued"]),
        limit=_NUMBERS,
        analyser=st.just("an1"),
        note=st.text(max_size=4),
        code=st.just("no-specimen"),
        again=st.booleans(),
    ),
    "identity": _object(identity=st.just("TESTSTOR"), reserved=_NUMBERS, promised=_NUMBERS),
    "pin": st.builds(
        lambda made: b"lis02_generic\n" + made, _object(api_version=st.just(1), revision=st.just(1), text=_ANY)
    ),
    "configuration": _toml(configurations()),
    "profile": _toml(profiles()),
    "backup": _tar(),
}
