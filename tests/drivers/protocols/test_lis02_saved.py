"""What a sender may presume saved (LIS02-A2 §4.2.1): Figure 2 of the standard, record by record."""

from itertools import pairwise

from vectors.wire import GLUCOSE

from drivers.protocols.lis02 import read

# the figure's letters, its records, and how many of them are due to be saved when the record has arrived
FIGURE_2 = """
A H 0
B P 0
C O 0
D R 0
E O 4
F O 4
G P 6
H O 6
I C 6
J R 6
K C 6
L R 11
M O 12
N P 13
O O 13
P R 13
Q L 17
"""


def test_every_decrease_of_the_level_obliges_us_to_have_saved_what_came_before():
    text = b"H|\\^&\r"
    for n, row in enumerate(FIGURE_2.strip().splitlines()):
        letter, record_type, due = row.split()
        if record_type != "H":
            text += record_type.encode() + b"|1\r"
        message = read(text).messages[0]
        assert len(message.records) == n + 1
        assert message.saved == int(due), letter


def test_saves_fall_due_exactly_where_the_figure_says():
    due = [row.split() for row in FIGURE_2.strip().splitlines()]
    rises = [b[0] for a, b in pairwise(due) if int(b[2]) > int(a[2])]
    assert rises == ["E", "G", "L", "M", "N", "Q"]


def test_a_terminated_message_is_saved_whole_and_a_cut_one_up_to_its_last_decrease():
    whole = b"\r".join(GLUCOSE) + b"\r"
    assert read(whole).messages[0].saved == 5
    assert read(whole[: -len(b"L|1|N\r")]).messages[0].saved == 0


def test_an_undecodable_record_counts_by_its_letter():
    assert read(b"H|\\^&\rP|1\rO|1\rR|1\rP|2|\xff\r").messages[0].saved == 4
