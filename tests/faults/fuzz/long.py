"""A target under atheris, which mutates what reaches new code: ``python -m faults.fuzz.long TARGET SECONDS``.

The inputs that reached something stay in build/fuzz/TARGET/; one that fails is kept in build/fuzz/failing/ and printed.
"""

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["edge_agent", "drivers", "hl7", "tarfile", "tomllib"]):
    from faults.fuzz.table import TARGETS
from faults.fuzz.target import HANG_S, Target, in_time

FOLDER = Path(__file__).parents[3] / "build" / "fuzz"
_SLOWER = 5.0  # counted code, beside code that is not
_MEMORY_MB = 300


def begin(target: Target) -> Path:
    """The corpus of earlier runs and the seeds, and a dictionary beside them."""
    corpus = FOLDER / target.name
    corpus.mkdir(parents=True, exist_ok=True)
    (FOLDER / "failing").mkdir(exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    words = ('"' + "".join(f"\\x{byte:02x}" for byte in word[:60]) + '"' for word in target.words)
    (FOLDER / f"{target.name}.dict").write_text("\n".join(words) + "\n", encoding="ascii")
    return corpus


def main() -> None:
    target, seconds = TARGETS[sys.argv[1]], int(sys.argv[2])
    corpus = begin(target)
    stack = ExitStack()
    run = target.make(Path(stack.enter_context(tempfile.TemporaryDirectory())), stack)

    def one(data: bytes) -> None:
        try:
            with in_time(HANG_S * _SLOWER):
                run(data)
        except BaseException:
            print(f"{target.name} fails with {data!r}", file=sys.stderr, flush=True)
            raise

    arguments = [
        sys.argv[0],
        str(corpus),
        f"-max_total_time={seconds}",
        f"-max_len={target.longest}",
        f"-rss_limit_mb={_MEMORY_MB}",
        f"-dict={FOLDER / target.name}.dict",
        f"-artifact_prefix={FOLDER / 'failing' / target.name}-",
        "-print_final_stats=1",
    ]
    atheris.Setup(arguments, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
