"""The shared tables of MQTT 5 properties: every property is allowed, written and read as by paho's untouched class."""

import importlib.util
from types import ModuleType
from typing import Any

import pytest
from paho.mqtt import properties as shared
from paho.mqtt.packettypes import PacketTypes

from edge_agent.publisher.property_tables import share_tables

PACKETS = sorted(PacketTypes.Names.index(name) for name in PacketTypes.Names if name != "reserved")
VALUES = {"Byte": 1, "Two Byte Integer": 500, "Four Byte Integer": 70_000, "Variable Byte Integer": 300}
PAIRS = [("digest", "ä" * 64), ("digest", "b")]


@pytest.fixture(scope="module")
def untouched() -> ModuleType:
    """paho's module, loaded once more from its file."""
    spec = importlib.util.spec_from_file_location("paho.mqtt.properties_untouched", shared.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    module.__package__ = "paho.mqtt"
    spec.loader.exec_module(module)
    share_tables()
    assert module.Properties.pack is not shared.Properties.pack
    return module


def value(kind: str) -> Any:
    return VALUES.get(kind) or {"Binary Data": b"\x00\xff", "UTF-8 String Pair": PAIRS}.get(kind, "text é")


def names() -> list[tuple[str, str]]:
    made = shared.Properties(PacketTypes.PUBLISH)
    return [(name.replace(" ", ""), made.types[made.properties[number][0]]) for name, number in made.names.items()]


def packed(module: ModuleType, packet: int) -> tuple[bytes, set[str]]:
    """All properties this packet may have, and the names of those it may not."""
    made, refused = module.Properties(packet), set()
    for name, kind in names():
        try:
            setattr(made, name, value(kind))
        except module.MQTTException:
            refused.add(name)
    return made.pack(), refused


@pytest.mark.parametrize("packet", PACKETS)
def test_every_packet_takes_the_same_properties_in_the_same_bytes(untouched: ModuleType, packet: int) -> None:
    assert packed(shared, packet) == packed(untouched, packet)


@pytest.mark.parametrize("packet", PACKETS)
def test_what_one_writes_the_other_reads(untouched: ModuleType, packet: int) -> None:
    wire, _ = packed(untouched, packet)
    mine, theirs = shared.Properties(packet), untouched.Properties(packet)
    assert mine.unpack(wire)[1] == theirs.unpack(wire)[1] == len(wire)
    assert mine.json() == theirs.json()


def test_an_object_read_anew_forgets_what_it_had() -> None:
    made = shared.Properties(PacketTypes.PUBLISH)
    made.UserProperty = ("id", "1")
    made.ContentType = "text/plain"
    made.UserProperty = ("id", "2")
    assert made.UserProperty == [("id", "1"), ("id", "2")]
    made.unpack(b"\x02\x01\x01")  # MQTT 5.0 §3.3.2.3.2: two bytes, Payload Format Indicator 1
    assert made.json() == {"PayloadFormatIndicator": 1}


# Twice the same property that may come once; a length beyond the end; an identifier nobody knows (MQTT 5.0 §2.2.2.2).
@pytest.mark.parametrize(
    "wire", [b"\x04\x01\x01\x01\x01", b"\x05\x03\x00\x09ab", b"\x02\x7f\x00", b"\x04\x03\x00\x01\x00"]
)
def test_what_paho_refuses_to_read_is_still_refused(untouched: ModuleType, wire: bytes) -> None:
    errors = []
    for module in (untouched, shared):
        with pytest.raises(Exception) as caught:  # whatever paho raises, both raise it
            module.Properties(PacketTypes.PUBLISH).unpack(wire)
        errors.append((type(caught.value).__name__, str(caught.value)))
    assert errors[0] == errors[1]
