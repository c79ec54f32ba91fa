"""paho's tables of MQTT 5 properties, made once and looked up by key.

paho-mqtt makes all its tables anew for each ``Properties`` and finds a name by comparing it with every other: one
result sent and one answer heard cost 0.4 ms of processor time in that alone, as much as the store's part of a message.
What is allowed, written and read stays paho's; a test compares every property with an untouched copy of its class.
"""

from collections.abc import Callable
from typing import Any

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties, VariableByteIntegers

_TABLES: dict[str, Any] = vars(Properties(PacketTypes.PUBLISH))  # type: ignore[no-untyped-call]  # paho gives no types
_KEPT = {name: _TABLES[name] for name in ("types", "names", "properties")}
_NAME_OF: dict[int, str] = {number: name for name, number in _KEPT["names"].items()}
_NUMBER_OF: dict[str, int] = {name.replace(" ", ""): number for name, number in _KEPT["names"].items()}
_MANY = frozenset({11, 38})  # Subscription Identifier, User Property (MQTT 5.0 §3.3.2.3)
_ANY_VALUE = frozenset({3, 8, 9, 38})  # texts and bytes: Content Type, Response Topic, Correlation Data, User Property
_set_checked: Callable[[Properties, str, Any], None] = Properties.__setattr__


def share_tables() -> None:
    """For every ``Properties`` of this process. Safe to call twice; changes the meaning of no property."""
    for replacement in (__init__, __setattr__, getIdentFromName, getNameFromIdent, allowsMultiple, clear, pack):
        setattr(Properties, replacement.__name__, replacement)


def __init__(self: Properties, packetType: int) -> None:  # noqa: N807, N803  # paho's names
    vars(self).update(_KEPT, packetType=packetType)


def __setattr__(self: Properties, name: str, value: Any) -> None:  # noqa: N807
    number = _NUMBER_OF.get(name, -1)
    if number not in _ANY_VALUE or self.packetType not in self.properties[number][1]:
        _set_checked(self, name, value)
    elif number in _MANY:
        vars(self)[name] = vars(self).get(name, []) + (value if isinstance(value, list) else [value])
    else:
        vars(self)[name] = value


def getIdentFromName(self: Properties, compressedName: str) -> int:  # noqa: N802, N803
    return _NUMBER_OF.get(compressedName, -1)


def getNameFromIdent(self: Properties, identifier: int) -> str | None:  # noqa: N802
    return _NAME_OF.get(identifier)


def allowsMultiple(self: Properties, compressedName: str) -> bool:  # noqa: N802, N803
    return _NUMBER_OF.get(compressedName) in _MANY


def clear(self: Properties) -> None:
    for name in vars(self).keys() & _NUMBER_OF.keys():
        delattr(self, name)


def pack(self: Properties) -> bytes:
    packed = b""
    given = vars(self)
    for name, number in _NUMBER_OF.items():
        if name in given:
            kind = self.properties[number][0]
            for value in given[name] if number in _MANY else (given[name],):
                packed += self.writeProperty(number, kind, value)  # type: ignore[no-untyped-call]
    length: bytes = VariableByteIntegers.encode(len(packed))  # type: ignore[no-untyped-call]
    return length + packed
