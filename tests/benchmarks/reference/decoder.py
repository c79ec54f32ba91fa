"""The simplest decoder of LIS01 and LIS02 that is correct for any chunking and cuts every field into its parts.

It checks digits, numbers and trailer, joins ETB frames and knows a repeated frame. It keeps no evidence, knows no
device's habits, has no timers, and trusts every control byte.
"""

Nested = list[list[list[list[str]]]]  # record, field, repeat, component


class Decoder:
    def __init__(self) -> None:
        self._buffer = b""
        self._text = b""
        self._next = 1
        self._records: Nested = []

    def feed(self, data: bytes) -> tuple[list[Nested], bytes]:
        """Messages that ended in ``data``, and the bytes to answer with."""
        buffer = self._buffer + data
        done: list[Nested] = []
        answers = b""
        at = 0
        while at < len(buffer):
            if buffer[at] == 0x02:
                end = buffer.find(b"\n", at)
                if end < 0:
                    break
                answers += self._frame(buffer[at : end + 1])
                at = end + 1
                continue
            if buffer[at] == 0x05:
                self._begin()
                answers += b"\x06"
            elif buffer[at] == 0x04:
                done.append(self._records)
                self._begin()
            at += 1
        self._buffer = buffer[at:]
        return done, answers

    def _begin(self) -> None:
        self._text, self._next, self._records = b"", 1, []

    def _frame(self, frame: bytes) -> bytes:
        body, digits, trailer = frame[1:-4], frame[-4:-2], frame[-2:]
        if trailer != b"\r\n" or body[-1:] not in (b"\x03", b"\x17") or b"%02X" % (sum(body) % 256) != digits:
            return b"\x15"
        number = body[0] - 0x30
        if number == (self._next - 1) % 8:
            return b"\x06"
        if number != self._next:
            return b"\x15"
        self._next = (number + 1) % 8
        self._text += body[1:-1]
        if body[-1:] == b"\x03":
            self._records += [_fields(line) for line in self._text.decode().split("\r") if line]
            self._text = b""
        return b"\x06"


def _fields(record: str) -> list[list[list[str]]]:
    if record[0] == "H":
        return [[[field]] for field in record.split("|")]
    return [[part.split("^") for part in field.split("\\")] for field in record.split("|")]
