"""Completes a bill of materials: the hash of every archive that was installed, and of the wheel; then checks it.

``sbom.py BOM REPORT WHEEL LOCK OUT``: cyclonedx-py's JSON of an environment, pip's report of what it installed there,
the wheel, the lock file, where to write. Ends with 1 and a line for each where the components are not the lock's.
"""

import hashlib
import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Json = dict[str, Any]


def name_of(name: str) -> str:
    """As package indexes compare names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(lock: str) -> set[tuple[str, str]]:
    """(name, version) of every requirement."""
    found = re.findall(r"(?m)^([A-Za-z0-9._-]+)==([^\s;\\]+)", lock)
    return {(name_of(name), version) for name, version in found}


def installed(report: Json) -> dict[str, str]:
    """Name -> SHA-256 of the archive pip took (its installation report, version 1)."""
    return {
        name_of(item["metadata"]["name"]): item["download_info"]["archive_info"]["hashes"]["sha256"]
        for item in report["install"]
    }


def free_words(report: Json) -> dict[str, str]:
    """Name -> its licence in its maker's own words, where it says so in no other form."""
    metadata = [item["metadata"] for item in report["install"]]
    return {name_of(m["name"]): m["license"] for m in metadata if 0 < len(m.get("license", "")) < 60}


def completed(bom: Json, report: Json, wheel: bytes, version: str) -> Json:
    hashes, licences = installed(report), free_words(report)
    for component in bom["components"]:
        name = name_of(component["name"])
        if name in hashes:
            component["hashes"] = [{"alg": "SHA-256", "content": hashes[name]}]
        if name in licences and not component.get("licenses"):
            component["licenses"] = [{"license": {"name": licences[name]}}]
    main = bom["metadata"]["component"]
    main["version"] = version
    main["hashes"] = [{"alg": "SHA-256", "content": hashlib.sha256(wheel).hexdigest()}]
    return bom


def complaints(bom: Json, lock: set[tuple[str, str]]) -> Iterable[str]:
    """Both ways: what is locked and not there, what is there and not locked; and what lacks a hash or a licence."""
    there = {(name_of(c["name"]), c.get("version", "")) for c in bom["components"]}
    yield from (f"{name} {version} is locked and not in the bill" for name, version in sorted(lock - there))
    yield from (f"{name} {version} is in the bill and not locked" for name, version in sorted(there - lock))
    for component in (bom["metadata"]["component"], *bom["components"]):
        for fact in ("hashes", "licenses"):
            if not component.get(fact):
                yield f"{component['name']} has no {fact}"


def main(bom: str, report: str, wheel: str, lock: str, out: str) -> int:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    version = Path(wheel).name.split("-")[1]
    read = [json.loads(Path(file).read_text("utf-8")) for file in (bom, report)]
    made = completed(*read, Path(wheel).read_bytes(), version)
    text = json.dumps(made, indent=2, ensure_ascii=False) + "\n"
    wrong = list(complaints(made, locked(Path(lock).read_text("utf-8"))))
    if (invalid := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)) is not None:
        wrong.append(f"not valid CycloneDX 1.6: {invalid}")
    if not wrong:
        Path(out).write_text(text, encoding="utf-8")
    told = "\n".join(wrong) or f"{out}: {len(made['components'])} components, each with hash and licence"
    sys.stdout.write(told + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
