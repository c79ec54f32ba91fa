"""What is installed is pinned, hashed and licensed as it is said to be; no secret lies in the repository."""

import importlib.util
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from architecture.licences import ALLOWED, READ, licence, pinned

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NAMES = ["run", "dev", "sbom", "fuzz"]

_PINNED = re.compile(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+( ; [^\\]+)?( --hash=sha256:[0-9a-f]{64})+")
_SECRETS = re.compile(
    "|".join(
        (
            "-----BEGIN (?:[A-Z]+ )*PRIVATE" + " KEY",
            r"\bAKIA[0-9A-Z]{16}\b",
            r"\bgh[pousr]_[A-Za-z0-9]{36}",
            r"\bgithub_pat_\w{22}",
            r"\bglpat-[\w-]{20}",
            r"\bxox[abprs]-[\w-]{10}",
            r"\bpypi-AgEI\w{20}",
            r"\beyJ[\w-]{15,}\.eyJ[\w-]{15,}\.[\w-]{10}",
            r"mqtts?://[^\s:/@{}]+:[^\s@{}*.]{4,}@(?!127\.0\.0\.1)",
        )
    )
)
# A URL with a user and a password in it, written to show that it is refused.
MADE_UP = ("hunter2", "secret", "geheim", "PASSWORD", "password")


def requirements(lock: str) -> list[str]:
    """One line for each, as pip reads it."""
    joined = re.sub(r"\\\n\s*", "", lock)
    return [line.strip() for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def test_the_lock_files_are_these() -> None:
    assert [path.stem for path in LOCKS] == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_requirement_is_pinned_and_hashed_and_names_no_index(name: str) -> None:
    lines = requirements((ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8"))
    assert len(lines) > (0 if name == "fuzz" else 10)
    assert [line for line in lines if not _PINNED.fullmatch(line)] == []


@pytest.mark.parametrize(
    "line",
    [
        "click>=8.1 --hash=sha256:" + "0" * 64,
        "click==8.1",
        "click==8.1 --hash=md5:" + "0" * 32,
        "--extra-index" + "-url https://example.org",
        "click @ https://example.org/click.whl",
    ],
)
def test_a_requirement_that_is_not_would_be_seen(line: str) -> None:
    assert not _PINNED.fullmatch(line)


def direct(lines: list[str]) -> set[str]:
    return {normal(re.split(r"[^A-Za-z0-9._-]", line)[0]) for line in lines}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_what_the_project_asks_for_is_locked_and_both_locks_agree() -> None:
    run, dev = pinned(ROOT / "requirements" / "run.txt"), pinned(ROOT / "requirements" / "dev.txt")
    assert direct(PROJECT["dependencies"]) <= {normal(name) for name in run}
    assert direct([d for extra in PROJECT["optional-dependencies"].values() for d in extra]) <= {*map(normal, dev)}
    assert run.items() <= dev.items()


def test_every_licence_is_one_that_is_allowed() -> None:
    assert {name: licence(name) for name in pinned() if licence(name) not in ALLOWED} == {}
    assert READ.keys() <= pinned().keys()


def test_a_licence_that_is_not_would_be_seen() -> None:
    assert licence("pytest") in ALLOWED
    assert "GPL-3.0-only" not in ALLOWED


# The bill of materials


@pytest.fixture(scope="module")
def sbom() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sbom", ROOT / "requirements" / "sbom.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def bill(*components: tuple[str, str]) -> dict:
    main = {"name": "ivd-edge-agent", "licenses": [{"license": {"id": "Apache-2.0"}}]}
    named = [{"name": n, "version": v, "licenses": [{"license": {"id": "MIT"}}]} for n, v in components]
    return {"metadata": {"component": main}, "components": named}


def report(*names: str) -> dict:
    archive = {"archive_info": {"hashes": {"sha256": "ab" * 32}}}
    return {"install": [{"metadata": {"name": name, "version": "1"}, "download_info": archive} for name in names]}


def test_a_bill_that_is_the_lock_has_nothing_against_it(sbom: ModuleType) -> None:
    made = sbom.completed(bill(("Typing_Extensions", "1"), ("b", "2")), report("typing-extensions", "b"), b"", "0.1.0")
    assert list(sbom.complaints(made, sbom.locked("typing-extensions==1 \\\n    --hash=x\nb==2 ; y\n"))) == []
    assert made["metadata"]["component"]["version"] == "0.1.0"
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # FIPS 180-4, of no bytes
    assert made["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": empty}]


def test_what_is_missing_or_too_much_in_a_bill_is_said(sbom: ModuleType) -> None:
    made = sbom.completed(bill(("a", "1"), ("c", "3")), report("a"), b"", "0.1.0")
    assert list(sbom.complaints(made, sbom.locked("a==1\nb==2\n"))) == [
        "b 2 is locked and not in the bill",
        "c 3 is in the bill and not locked",
        "c has no hashes",
    ]


def test_the_lock_of_the_agent_is_read_whole(sbom: ModuleType) -> None:
    lock = (ROOT / "requirements" / "run.txt").read_text(encoding="utf-8")
    assert len(sbom.locked(lock)) == len(requirements(lock))


# Secrets


def tracked() -> Iterator[tuple[str, str]]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    for name in filter(None, listed.stdout.decode().split("\0")):
        try:
            yield name, (ROOT / name).read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue


def secrets(text: str) -> list[str]:
    return [found[0] for found in _SECRETS.finditer(text) if not any(word in found[0] for word in MADE_UP)]


def test_no_key_token_or_password_lies_in_the_repository() -> None:
    assert {name: found for name, text in tracked() if (found := secrets(text))} == {}


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN EC PRIVATE" + " KEY-----",
        "-----BEGIN PRIVATE" + " KEY-----",
        "AKIA" + "ABCDEFGHIJKLMNOP",
        "ghp_" + "a" * 36,
        "mqtts://gw-01:" + "xK3p9Lq2@broker.lab",
    ],
)
def test_such_a_secret_would_be_seen(text: str) -> None:
    assert secrets(f"x {text} y")
