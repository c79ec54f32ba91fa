"""What came besides good frames: repeats, refused frames, noise. Kept in order, merged, and bounded.

Promised: at most ``MOST_CHUNKS`` chunks and ``MOST_BYTES`` bytes per transmission, whatever an analyser or a line does;
what is beyond is counted, and the count is kept. Not promised: durability before the next frame or the end of the
transmission; none of these bytes was acknowledged as data.
"""

from collections.abc import Sequence

from edge_agent.store.rows import Chunk, ChunkKind

MOST_CHUNKS = 200
MOST_BYTES = 1024 * 1024


class Evidence:
    def __init__(self) -> None:
        self._waiting: list[Chunk] = []
        self._noise = bytearray()
        self._chunks = 0  # of this transmission, stored ones included
        self._bytes = 0
        self._dropped = 0
        self._dropped_bytes = 0
        self.size = 0  # bytes waiting to be stored
        self.since: float | None = None  # when the oldest waiting byte came
        self.last = 0.0  # when the newest came

    def __bool__(self) -> bool:
        return self.since is not None

    def add(self, chunk: Chunk, now: float) -> None:
        self.since = now if self.since is None else self.since
        self.last = now
        if not self._has_room(chunk):
            self._dropped += 1
            self._dropped_bytes += len(chunk.raw)
            return
        self._bytes += len(chunk.raw)
        self.size += len(chunk.raw)
        if chunk.kind is ChunkKind.NOISE:  # a noisy line gives one event per byte: one chunk for all that adjoin
            self._chunks += not self._noise
            self._noise += chunk.raw
        else:
            self._close_noise()
            self._chunks += 1
            self._waiting.append(chunk)

    def _has_room(self, chunk: Chunk) -> bool:
        joins = chunk.kind is ChunkKind.NOISE and bool(self._noise)
        return (joins or self._chunks < MOST_CHUNKS) and self._bytes + len(chunk.raw) <= MOST_BYTES

    def _close_noise(self) -> None:
        if self._noise:
            self._waiting.append(Chunk(ChunkKind.NOISE, bytes(self._noise)))
            self._noise.clear()

    def waiting(self, *, final: bool = False) -> Sequence[Chunk]:
        """What is not stored yet; with ``final`` also how much was not kept."""
        self._close_noise()
        if not final or not self._dropped:
            return tuple(self._waiting)
        words = f"{self._dropped} more of {self._dropped_bytes} bytes not kept"
        return (*self._waiting, Chunk(ChunkKind.NOISE, b"", reason=words))

    def only_repeats(self) -> bool:
        """Nothing but frames sent again: their bytes are stored already."""
        return not self._noise and all(c.kind is ChunkKind.REPEAT for c in self._waiting) and not self._dropped

    def postpone(self, now: float) -> None:
        """It could not be stored: count its age anew, or the session would try without a pause."""
        if self.since is not None:
            self.since = now

    def forgive(self) -> None:
        """The frame that was refused has come well, or is stored already: what was refused of it says nothing more."""
        self._close_noise()
        self._waiting = [c for c in self._waiting if c.kind is ChunkKind.NOISE]
        if not self._waiting:
            self.stored()

    def stored(self) -> None:
        """What waited is on the disk."""
        self._waiting.clear()
        self._noise.clear()
        self.size = 0
        self.since = None

    def forget(self) -> None:
        """The transmission is over: the next one has its own bounds."""
        self.stored()
        self._chunks = self._bytes = self._dropped = self._dropped_bytes = 0
