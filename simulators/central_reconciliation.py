"""The management system compares a gateway's manifests with what it filed, and asks for what it lost.

It knows the contract as docs/mqtt-contract.md says it, section "Reconciliation", and nothing of the agent. ``requests``
is what to publish on ``down/reconcile``; ``differing`` collects intervals in which it misses nothing and which differ
all the same: there something was changed after it was filed.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simulators.central_ledger import CentralLedger

MOST = 1000  # numbers in one request
ENQUIRY: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    gateway: str  # the part of the topic before "down/"
    payload: bytes


class Reconciliation:
    def __init__(self, ledger: CentralLedger) -> None:
        self._ledger = ledger
        self.manifests = 0
        self.asked = 0  # numbers, over all requests
        self.differing: list[tuple[str, str, str, int, int]] = []  # store, analyser, route, first, last

    def requests(self, gateway: str, payload: bytes) -> list[Request]:
        """What to ask after this manifest. Raises ValueError for what is no manifest."""
        try:
            entries = {(e["store"], e["analyser"]): e for e in json.loads(payload)["analysers"]}
            self.manifests += 1
            found = [self._compare(gateway, entry) for entry in entries.values()]
        except (KeyError, TypeError) as error:
            raise ValueError("no manifest") from error
        stores = {store for store, _ in entries}
        found += [
            _request(gateway, store, analyser, last, ENQUIRY)
            for store, analyser, last in self._ledger.heads(gateway)
            if store in stores and (store, analyser) not in entries
        ]
        return [request for request in found if request is not None]

    def enquiries(self, gateway: str) -> list[Request]:
        """Asks for nothing but a manifest: after a restored backup, for instance."""
        return [_request(gateway, *head, ENQUIRY) for head in self._ledger.heads(gateway)[:1]]

    def _compare(self, gateway: str, entry: Mapping[str, Any]) -> Request | None:
        store, analyser, last = entry["store"], entry["analyser"], entry["last"]
        filed = self._ledger.numbers(gateway, store, analyser)
        missing: set[int] = set()
        spoken_of: set[int] = set()
        for interval in entry["intervals"]:
            spoken_of.update(range(interval["first"], interval["last"] + 1))
            missing |= self._missing(gateway, entry, interval, filed)
        if entry["oldest"] is not None:
            # Of these the manifest does not speak: asked for as they are, what is on its way is passed over.
            missing |= set(range(entry["oldest"], last + 1)) - filed - spoken_of
        highest, told = max(filed, default=0), entry["last_filed"] or 0
        if highest > max(last, told):  # a restored store: of what it lost, what is missing here, too
            missing |= set(range(last + 1, highest + 1)) - filed
        gaps = _spans(sorted(missing)[:MOST])
        self.asked += min(len(missing), MOST)
        return _request(gateway, store, analyser, highest, gaps) if gaps or highest > max(last, told) else None

    def _missing(
        self, gateway: str, entry: Mapping[str, Any], interval: Mapping[str, Any], filed: set[int]
    ) -> set[int]:
        """The numbers of an interval that the gateway counted and that are not filed here."""
        counted = set(range(interval["first"], interval["last"] + 1))
        for first, last in interval["not_counted"]:
            counted -= set(range(first, last + 1))
        missing = counted - filed
        store, analyser, route = entry["store"], entry["analyser"], interval["route"]
        place = gateway, store, analyser, route
        lines = self._ledger.lines(*place, interval["first"], interval["last"])
        lines = [line for line in lines if line[0] in counted]
        if not missing and (len(lines), digest(lines)) != (interval["count"], interval["digest"]):
            self.differing.append((store, analyser, route, interval["first"], interval["last"]))
        return missing


def digest(lines: Iterable[tuple[int, str, str]]) -> str:
    """SHA-256 over ``sequence SP MSH-10 SP digest LF``, ascending."""
    return hashlib.sha256("".join(f"{n} {id_} {sha}\n" for n, id_, sha in sorted(lines)).encode()).hexdigest()


def _request(gateway: str, store: str, analyser: str, last_filed: int, gaps: Sequence[Sequence[int]]) -> Request:
    asked = {"store": store, "analyser": analyser, "last_filed": last_filed, "gaps": gaps}
    return Request(gateway, json.dumps(asked).encode())


def _spans(numbers: Sequence[int]) -> list[tuple[int, int]]:
    return list(_walk(numbers))


def _walk(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    start = 0
    for place in range(1, len(numbers) + 1):
        if place == len(numbers) or numbers[place] != numbers[place - 1] + 1:
            yield numbers[start], numbers[place - 1]
            start = place
