"""What `init` asks about each analyser, and `--analyser` for those who do not want to be asked."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import click

from drivers.errors import ProfileError
from drivers.sdk import load, names
from edge_agent.cli.prompts import answered
from edge_agent.configuration.answers import objection, port_objection
from edge_agent.transport.peers import is_loopback
from edge_agent.transport.serial_names import SerialName, serial_names

Analyser = dict[str, str | list[str]]  # keys of [[analyser]]

KEYS = ("id", "profile", "mode", "transport", "peer")
_KINDS = ("serial", "tcp-server", "tcp-client", "rfc2217")
_LINE = (
    ("baudrate", "Baud rate", "9600"),
    ("bytesize", "Data bits", "8"),
    ("parity", "Parity (N none, E even, O odd)", "N"),
    ("stopbits", "Stop bits", "1"),
)
_VALIDATION = (
    "While mode is validation, results go to the topic .../validation and are marked as training (MSH-11 T).\n"
    "Compare them with the analyser's own print-outs; when they agree, set mode = production."
)


def read(text: str, folder: Path, taken: Sequence[str] = ()) -> tuple[Analyser, list[str]]:
    """`--analyser "id=xn1 profile=sysmex_xn transport=... peer=10.0.0.5,10.0.0.6"`, and what is wrong with it."""
    found: Analyser = {}
    wrong: list[str] = []
    for word in text.split():
        key, equals, value = word.partition("=")
        if not equals or key not in KEYS:
            near = difflib.get_close_matches(key, KEYS, n=1)
            wrong.append(f"{key} is none of {', '.join(KEYS)}" + (f"; did you mean {near[0]}?" if near else ""))
        else:
            found[key] = value.split(",") if key == "peer" else value
    wrong += [f"missing {key}=" for key in ("id", "profile", "transport") if key not in found]
    return found, wrong + _objections(found, folder, taken)


def _objections(found: Analyser, folder: Path, taken: Sequence[str]) -> list[str]:
    peer = found.get("peer", [])
    assert isinstance(peer, list)
    judged = [
        ("id", _id_objection(str(found.get("id", "x")), taken)),
        ("profile", device_objection(str(found["profile"]), folder) if "profile" in found else ""),
        ("mode", objection("analyser", "mode", found.get("mode", "validation"))),
        ("transport", port_objection(str(found["transport"]), peer) if "transport" in found else ""),
    ]
    return [f"{key}: {why}" for key, why in judged if why]


def _id_objection(name: str, taken: Sequence[str]) -> str:
    return "another analyser has this id" if name in taken else objection("analyser", "id", name)


def device_objection(name: str, folder: Path) -> str:
    """``folder``: the site's own devices."""
    try:
        load(name, folder)
    except ProfileError as error:
        return "; ".join(error.problems)
    return ""


def devices(folder: Path) -> list[tuple[str, str]]:
    """Name and, for people, vendor and model with its other names; those that can be used."""
    found = []
    for name in names(folder):
        if device_objection(name, folder):
            continue
        profile = load(name, folder).profile
        models = ", ".join(dict.fromkeys((profile.model, *profile.aliases)))
        found.append((name, f"{profile.vendor} {models}".strip() or "any that sends LIS02 records"))
    return found


def find(part: str, known: Sequence[tuple[str, str]]) -> list[str]:
    """The devices a person can mean by ``part`` of a name, vendor or model."""
    if part in dict(known):
        return [part]
    words = part.lower().split()
    return [name for name, text in known if all(word in f"{name} {text}".lower() for word in words)]


def ask_all(given: Sequence[Analyser], folder: Path) -> list[Analyser]:
    """The analysers of this gateway; those that were given need no question."""
    found = list(given)
    while click.confirm("Add another analyser?" if found else "Add an analyser?", default=not found):
        found.append(_ask([str(a["id"]) for a in found], folder))
    return found


def _ask(taken: Sequence[str], folder: Path) -> Analyser:
    name = answered("Its id (a-z, 0-9, -), part of every topic", lambda text: _id_objection(text, taken))
    analyser: Analyser = {"id": name, "profile": _ask_device(folder)}
    click.echo(_VALIDATION)
    analyser["mode"] = _choice("Mode", ("validation", "production"))
    kind = _choice("How it is connected (tcp-server: it connects to us; tcp-client: we connect to it)", _KINDS)
    analyser["transport"] = _PORTS[kind]()
    if kind == "tcp-server" and not is_loopback(_host(str(analyser["transport"]))):
        answer = answered(
            "Its address, or several; any: everybody may connect",
            lambda text: port_objection(str(analyser["transport"]), text.replace(",", " ").split()),
        )
        analyser["peer"] = answer.replace(",", " ").split()
    return analyser


def _ask_device(folder: Path) -> str:
    known = devices(folder)
    _show_devices(known)
    while True:
        part = str(click.prompt("Device (part of its name finds it)")).strip()
        found = find(part, known) if part else []
        if len(found) == 1:
            click.echo(f"{found[0]}: {dict(known)[found[0]]}")
            return found[0]
        if found:
            click.echo(f"{part} can mean {', '.join(found)}.")
            continue
        near = difflib.get_close_matches(part, dict(known), n=1, cutoff=0.4)
        click.echo(f"No device is called {part}" + (f"; did you mean {near[0]}?" if near else "."))


def _show_devices(known: Sequence[tuple[str, str]]) -> None:
    for name, text in known:
        click.echo(f"  {name}  {text}")


def _ask_serial() -> str:
    ports = serial_names()
    for number, port in enumerate(ports, 1):
        click.echo(f"  {number}  {port.path}  {port.description or port.device}")
        if port.note:
            click.echo(f"     {port.note}")
    if not ports:
        click.echo("No serial port is there just now. Plug the adapter in, or write the name it will have.")
    default = "1" if ports else None
    chosen = answered("Serial port, its number or its name", lambda text: _port_of(text, ports)[1], default)
    return f"serial://{quote(_port_of(chosen, ports)[0], safe='/:')}?{_ask_line()}"


def _port_of(text: str, ports: Sequence[SerialName]) -> tuple[str, str]:
    """The path, and why it cannot stand."""
    if text.isdecimal():
        number = int(text)
        there = 1 <= number <= len(ports)
        return (ports[number - 1].path, "") if there else ("", f"there is no number {number} in the list")
    return text, "" if text.startswith("/") else "is no number of the list and no path such as /dev/ttyUSB0"


def _ask_line() -> str:
    click.echo("Line settings: as the analyser's own menu shows them.")
    parts: list[str] = []
    for key, text, default in _LINE:

        def judge(value: str, key: str = key) -> str:
            return port_objection(f"serial:///dev/null?{key}={quote(value)}", [])

        parts.append(f"{key}={answered(text, judge, default)}")
    handshake = _choice("Handshake", ("none", "rtscts", "xonxoff", "dsrdtr"))
    return "&".join([*parts, *([] if handshake == "none" else [f"{handshake}=1"])])


def _ask_server() -> str:
    port = answered("Port to listen on", lambda text: port_objection(f"tcp-server://127.0.0.1:{text}", []), "5600")
    return f"tcp-server://0.0.0.0:{port}"


def _ask_client() -> str:
    address = answered("Its address and port, 10.0.0.9:4001", lambda text: port_objection(f"tcp-client://{text}", []))
    return f"tcp-client://{address}"


def _ask_remote() -> str:
    address = answered(
        "Address and port of the terminal server, 10.0.0.8:4002", lambda text: port_objection(f"rfc2217://{text}", [])
    )
    return f"rfc2217://{address}?{_ask_line()}"


_PORTS = {"serial": _ask_serial, "tcp-server": _ask_server, "tcp-client": _ask_client, "rfc2217": _ask_remote}


def _host(url: str) -> str:
    return url.removeprefix("tcp-server://").rpartition(":")[0]


def _choice(text: str, known: Sequence[str]) -> str:
    return str(click.prompt(text, type=click.Choice(known), default=known[0]))
