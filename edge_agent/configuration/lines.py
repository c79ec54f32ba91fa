"""Where each key of a TOML file stands.

``tomllib`` gives no positions, so this index reads the file's lines itself: enough to name the line of a mistake, never
to interpret a value. Paths are dotted; members of an array of tables carry their index: ``analyser.0.transport``.
"""

import re

_TABLE = re.compile(r"^\s*\[\s*(?P<name>[^\[\]]+?)\s*\]\s*(#.*)?$")
_ARRAY = re.compile(r"^\s*\[\[\s*(?P<name>[^\[\]]+?)\s*\]\]\s*(#.*)?$")
_KEY = re.compile(r"^\s*(?P<key>[A-Za-z0-9_\-.\"']+)\s*=")


class LineIndex:
    """Dotted path -> line number, 1-based."""

    def __init__(self, text: str) -> None:
        self._lines: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        prefix = ""
        for number, line in enumerate(text.splitlines(), start=1):
            prefix = self._read(line, number, prefix)

    def line(self, path: str) -> int:
        """The line of ``path`` or of the nearest enclosing key that is written; 0 when none is."""
        while path:
            if path in self._lines:
                return self._lines[path]
            path = path.rpartition(".")[0]
        return 0

    def _read(self, line: str, number: int, prefix: str) -> str:
        if match := _ARRAY.match(line):
            name = match["name"]
            index = self._counts.get(name, 0)
            self._counts[name] = index + 1
            return self._note(f"{name}.{index}", number)
        if match := _TABLE.match(line):
            return self._note(match["name"], number)
        if match := _KEY.match(line):
            key = match["key"].strip("\"'")
            self._note(f"{prefix}.{key}" if prefix else key, number)
        return prefix

    def _note(self, path: str, number: int) -> str:
        self._lines.setdefault(path, number)
        return path
