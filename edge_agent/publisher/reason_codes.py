"""Lets paho read every reason code a broker may put into a PUBACK.

paho-mqtt knows, per packet, only the codes of the specification's table; any other makes it drop the connection as
malformed, and the same message would be sent again, for ever. Mosquitto answers an oversize message with PUBACK 0x95,
which is not in that table (MQTT 5.0 §3.4.2.1). A code from 0x80 on is a refusal, whatever it is.
"""

from types import MappingProxyType

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode


def admit_every_refusal() -> None:
    """Complete paho's table for PUBACK. Safe to call twice; changes the meaning of no code."""
    names = {code: dict(by_name) for code, by_name in ReasonCode.names.items()}
    for code in range(0x80, 0x100):
        known = names.setdefault(code, {})
        if not any(PacketTypes.PUBACK in packets for packets in known.values()):
            known[f"Refused (0x{code:02X})"] = [PacketTypes.PUBACK]
    ReasonCode.names = MappingProxyType(names)
