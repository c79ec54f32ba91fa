"""The URLs of design §4, and what is said about wrong ones."""

import random

import pytest

from edge_agent.clock import SystemClock
from edge_agent.transport.errors import PortUrlError
from edge_agent.transport.open import transport_for
from edge_agent.transport.peers import AllowList
from edge_agent.transport.port_url import SerialUrl, TcpClientUrl, TcpServerUrl, parse
from edge_agent.transport.serial_port import SerialPort, steady_name
from edge_agent.transport.tcp_client import TcpClient
from edge_agent.transport.tcp_server import TcpServer

BY_ID = "/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A5XK3RJT-if00-port0"


def test_every_form_of_the_design_is_read():
    assert parse("tcp-server://0.0.0.0:5600") == TcpServerUrl("0.0.0.0", 5600)
    assert parse("tcp-server://[::1]:5600") == TcpServerUrl("::1", 5600)
    assert parse("tcp-client://10.0.0.9:4001") == TcpClientUrl("10.0.0.9", 4001)
    full = "?baudrate=19200&bytesize=7&parity=e&stopbits=2&rtscts=1&xonxoff=0&dsrdtr=true"
    assert parse(f"serial://{BY_ID}{full}") == SerialUrl(BY_ID, False, 19200, 7, "E", 2, True, False, True)
    assert parse("rfc2217://10.0.0.8:4002?baudrate=9600") == SerialUrl("rfc2217://10.0.0.8:4002", True)


def test_a_serial_port_without_options_is_9600_8n1_without_handshake():
    url = parse(f"serial://{BY_ID}")
    assert (url.baudrate, url.bytesize, url.parity, url.stopbits) == (9600, 8, "N", 1)
    assert (url.rtscts, url.xonxoff, url.dsrdtr) == (False, False, False)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("serial:///dev/ttyUSB0?baudrat=9600", "did you mean baudrate?"),
        ("serial:///dev/ttyUSB0?speed=9600", "unknown option speed; known: baudrate"),
        ("serial:///dev/ttyUSB0?baudrate=fast", 'baudrate cannot be "fast"; it is a number such as 9600'),
        ("serial:///dev/ttyUSB0?baudrate=0", 'baudrate cannot be "0"'),
        ("serial:///dev/ttyUSB0?parity=X", "it is N, E, O, M or S"),
        ("serial:///dev/ttyUSB0?bytesize=9", "it is 5, 6, 7 or 8"),
        ("serial:///dev/ttyUSB0?rtscts=maybe", "it is 0 or 1"),
        ("serial:///dev/ttyUSB0?parity=N&parity=E", "gives parity twice"),
        ("serial://", "names no device"),
        ("tcp-sever://0.0.0.0:5600", "did you mean tcp-server?"),
        ("http://x", "known: tcp-server, tcp-client, serial, rfc2217"),
        ("tcp-server://0.0.0.0", "needs an address and a port"),
        ("tcp-client://10.0.0.9:0", "needs an address and a port"),
        ("tcp-client://10.0.0.9:99999", "its port must be a number up to 65535"),
        ("tcp-client://10.0.0.9:4001?baudrate=9600", "tcp-client has none"),
        ("tcp-client://user@10.0.0.9:4001", "more than an address and a port"),
        ("rfc2217://10.0.0.8?baudrate=9600", "needs an address and a port"),
    ],
)
def test_a_wrong_url_is_one_sentence(url, says):
    with pytest.raises(PortUrlError) as error:
        parse(url)
    assert says in error.value.sentence
    assert error.value.code == "port-url"
    assert error.value.action


def build(url, *peer):
    return transport_for(url, peer=peer, clock=SystemClock(), rng=random.Random(1))


def test_each_url_gives_its_transport_and_opens_nothing():
    assert isinstance(build("tcp-server://127.0.0.1:1"), TcpServer)
    assert isinstance(build("tcp-client://10.0.0.9:4001"), TcpClient)
    assert isinstance(build("serial:///dev/there-is-none"), SerialPort)
    assert isinstance(build("rfc2217://10.0.0.8:4002"), SerialPort)


def test_a_server_beyond_this_machine_needs_to_be_told_who_may_call():
    with pytest.raises(PortUrlError, match="peer says nothing"):
        build("tcp-server://0.0.0.0:5600")
    build("tcp-server://0.0.0.0:5600", "any")
    build("tcp-server://0.0.0.0:5600", "10.0.0.5")
    for here in ("127.0.0.1", "[::1]", "localhost"):
        build(f"tcp-server://{here}:5600")


def test_a_peer_makes_no_sense_where_nobody_calls():
    with pytest.raises(PortUrlError, match="called by nobody"):
        build("serial:///dev/ttyS0", "10.0.0.5")


@pytest.mark.parametrize(
    ("peers", "address", "allowed"),
    [
        (["10.0.0.5"], "10.0.0.5", True),
        (["10.0.0.5"], "10.0.0.6", False),
        (["10.0.0.5"], "::ffff:10.0.0.5", True),
        (["10.0.0.0/28"], "10.0.0.15", True),
        (["10.0.0.0/28"], "10.0.0.16", False),
        (["10.0.0.5", "fe80::/10"], "fe80::1%eth0", True),
        (["any"], "203.0.113.9", True),
        ([], "127.0.0.1", True),
        ([], "10.0.0.5", False),
    ],
)
def test_the_allow_list(peers, address, allowed):
    assert AllowList(peers).allows(address) is allowed


def test_a_peer_that_is_no_address_is_refused_when_it_is_read():
    with pytest.raises(PortUrlError, match="neither an address nor a network"):
        AllowList(["analyser-3"])


def test_the_steady_name_of_a_numbered_port_is_found(tmp_path):
    links = tmp_path / "by-id"
    links.mkdir()
    device = tmp_path / "ttyUSB0"
    device.touch()
    (links / "usb-adapter-1").symlink_to(device)
    assert steady_name(str(device), links) == str(links / "usb-adapter-1")
    assert steady_name(str(links / "usb-adapter-1"), links) == ""
    assert steady_name("/dev/ttyS9", links) == ""
