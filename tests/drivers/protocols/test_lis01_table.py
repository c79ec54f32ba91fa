"""Both transition tables, every state with every signal, against a copy written from LIS01-A2's diagrams."""

import pytest

from drivers.errors import LinkMisuseError
from drivers.protocols import lis01
from drivers.protocols.lis01_sender import Sender
from drivers.protocols.lis01_sender_table import SENDER_TABLE, SenderSignal, SenderState
from drivers.protocols.lis01_table import TABLE, Signal, State

# state: signal -> action, next state. What is not here must raise.
RECEIVER = """
IDLE ENQ open OPEN
IDLE ENQ_BUSY busy IDLE
IDLE EOT ignore IDLE
IDLE NEW noise IDLE
IDLE NEW_UNASKED hold_unasked HELD
IDLE REPEAT noise IDLE
IDLE BAD noise IDLE
IDLE NOISE noise IDLE
IDLE BARE hold_unasked HELD
IDLE LOST ignore IDLE
OPEN ENQ_AGAIN open_again OPEN
OPEN ENQ_ANEW reopen OPEN
OPEN ENQ_BUSY busy IDLE
OPEN EOT close_eot IDLE
OPEN EOT_EARLY ignore OPEN
OPEN NEW hold HELD
OPEN NEW_UNASKED reopen_unasked HELD
OPEN REPEAT repeat OPEN
OPEN BAD refuse_frame OPEN
OPEN NOISE noise OPEN
OPEN BARE hold HELD
OPEN TIMEOUT close_timeout IDLE
OPEN QUIET close_idle IDLE
OPEN LOST close_link IDLE
HELD STORED accept OPEN
HELD NOT_STORED forget OPEN
"""
SENDER = """
IDLE START ask ASKED
IDLE LOST ignore IDLE
WAITING TIMEOUT ask ASKED
WAITING LOST abort_link IDLE
ASKED ACK send_first SENT
ASKED NAK wait_busy WAITING
ASKED ENQ wait_contention WAITING
ASKED OTHER ignore ASKED
ASKED TIMEOUT abort_no_reply IDLE
ASKED LOST abort_link IDLE
SENT ACK send_next SENT
SENT ACK_LAST finish IDLE
SENT NAK send_again SENT
SENT NAK_LAST abort_refused IDLE
SENT EOT note_interrupt SENT
SENT EOT_LAST finish_interrupted IDLE
SENT EOT_HONOURED abort_interrupted IDLE
SENT TIMEOUT abort_no_reply IDLE
SENT LOST abort_link IDLE
"""


def rows(text):
    return {(s, g): (action, following) for s, g, action, following in map(str.split, text.strip().splitlines())}


def flat(table):
    return {(s.name, g.name): (step.action, step.next.name) for s, row in table.items() for g, step in row.items()}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("signal", Signal)
def test_the_receiver_does_what_the_diagram_says_in_every_state_for_every_signal(state, signal):
    assert flat(TABLE).get((state.name, signal.name)) == rows(RECEIVER).get((state.name, signal.name))


@pytest.mark.parametrize("state", SenderState)
@pytest.mark.parametrize("signal", SenderSignal)
def test_the_sender_does_what_the_diagram_says_in_every_state_for_every_signal(state, signal):
    assert flat(SENDER_TABLE).get((state.name, signal.name)) == rows(SENDER).get((state.name, signal.name))


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("signal", Signal)
def test_a_signal_without_a_row_raises_and_changes_nothing(state, signal):
    if signal in TABLE[state]:
        return
    receiver = lis01.Receiver(lis01.Dialect())
    receiver.state = state
    with pytest.raises(LinkMisuseError):
        receiver._step(signal, None, 0.0)
    assert receiver.state is state


@pytest.mark.parametrize("state", SenderState)
@pytest.mark.parametrize("signal", SenderSignal)
def test_a_sender_signal_without_a_row_raises_and_changes_nothing(state, signal):
    if signal in SENDER_TABLE[state]:
        return
    sender = Sender(lis01.Dialect())
    sender.state = state
    with pytest.raises(LinkMisuseError):
        sender._step(signal, 0.0)
    assert sender.state is state


def test_every_state_can_be_reached_and_left():
    for table in (TABLE, SENDER_TABLE):
        reached = {step.next for row in table.values() for step in row.values()}
        assert reached == set(table)
        for state, row in table.items():
            assert any(step.next is not state for step in row.values())
