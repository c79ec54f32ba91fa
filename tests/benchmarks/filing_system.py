"""The simulated management system as a process: files in a ledger, answers, and judges nothing.

Words: the broker's address, a name. For a line with a number it answers when so many messages have come since the last
line, with messages a second between the first and the last of them.
"""

import sys
import time

from benchmarks.kit import say

from simulators.central import Central, CentralOptions


def rate(central: Central, wanted: int, before: int) -> float:
    first = 0.0
    end = time.monotonic() + 120
    while central.received - before < wanted:
        if not first and central.received > before:
            first = time.monotonic()
        assert time.monotonic() < end, f"{central.received - before} of {wanted} came"
        time.sleep(0.002)
    return wanted / max(1e-6, time.monotonic() - (first or time.monotonic()))


def main() -> None:
    with Central(CentralOptions(sys.argv[1], instance=sys.argv[2], validate="none")) as central:
        say("ready")
        before = 0
        while line := sys.stdin.readline():
            say(rate(central, int(line), before))
            before += int(line)
    central.close_ledger()


if __name__ == "__main__":
    main()
