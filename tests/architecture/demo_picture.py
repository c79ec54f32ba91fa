"""Makes docs/demo.svg, the picture on the front page, from what `make demo` prints: `make picture`.

The lines are the real ones; what is left out is marked. The file names no font and no address.
"""

import io
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "demo.svg"
WIDTH = 122
_HEADS = ("as the analyser", "analyser  device", "--------")


def picture(output: str) -> str:
    """The SVG of a terminal with the output of one demonstration. The same output gives the same bytes."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), color_system="truecolor")
    console.print(Text("$ make demo", style="bold"))
    for line in _shortened(output.splitlines()):
        console.print(Text(line, style=_style(line)), no_wrap=True, overflow="crop")
    svg = console.export_svg(title="make demo", unique_id="demo")
    svg = re.sub(r"(?s)@font-face \{.*?\}\s*", "", svg)
    svg = re.sub(r"<!-- Generated .*?-->\s*", "", svg)
    svg = svg.replace("<text ", '<text xml:space="preserve" ')  # some viewers drop leading blanks
    return re.sub(r"font-family: [^;]+;", "font-family: monospace;", svg)


def _shortened(lines: Iterable[str]) -> Iterator[str]:
    """Of the records beside their HL7 the first of each kind."""
    kinds: set[str] = set()
    shown, beside = True, False
    for line in lines:
        if line.startswith("as the analyser"):
            beside = True
        elif not line and beside and kinds:
            beside = False
            yield "..."
        starts = line[:2] if beside and re.match(r"[HPORLC]\|", line) else ""
        if starts:
            shown = starts not in kinds
            kinds.add(starts)
        if shown or not beside:
            yield line


def _style(line: str) -> str:
    if re.match(r"\d+ of \d+ results filed", line):
        return "bold green"
    if line.startswith(("acknowledged:", "...")):
        return "dim"
    return "bold" if line.startswith(_HEADS) else ""


def write() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "simulators.demo"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    PICTURE.write_text(picture(ran.stdout), encoding="utf-8")


if __name__ == "__main__":
    write()
