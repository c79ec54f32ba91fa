"""Messages written by hand that must be accepted: the ground every spoiled message is spoiled from."""

from collections.abc import Mapping

OBX_TAIL = "|||||||||RSLT"  # from the end of field 20 to field 29


def _message(*segments: str) -> bytes:
    return "".join(segment + "\r" for segment in segments).encode("utf-8")


def _msh(number: int, kind: str = "OUL^R22^OUL_R22", mode: str = "P") -> str:
    last = "|||LAB-29^IHE" if kind.startswith("OUL") else ""
    return (
        f"MSH|^~\\&|xn1|seoul-01|IVD|CENTRAL|20240612091502+0900||{kind}|7K2QX9AB-{number:011d}|{mode}|2.5.1"
        f"|||NE|AL||UNICODE UTF-8{last}"
    )


def _obx(
    n: int, kind: str, code: str, value: str, unit: str = "", flag: str = "", status: str = "F", run: str = ""
) -> str:
    flags = f"{flag}^^HL70078" if flag else ""
    return (
        f"OBX|{n}|{kind}|{code}|{run}|{value}|{unit}|3.9 to 5.6|{flags}|||{status}|||||kd~ms"
        f"||XN-1000^Sysmex~41007^Sysmex|20240612091200+0900|{OBX_TAIL}"
    )


SPM = "SPM|1|S24-0001||SER|||||||P^Patient^HL70369"
QC = "SPM|1|QC-42140811||BLD|||||||Q^Control specimen^HL70369"
ORDER = ('OBR|1|""||CBC^^99SYS', "ORC|SC||||CM")
WBC = "WBC^Leukocytes^99SYS^6690-2^Leukocytes [#/volume] in Blood by Automated count^LN"
GLU = "GLU^Glucose^99ACM"
UNIT = "mmol/L^mmol/L^99ACM^mmol/L^^UCUM"
CELLS = "10*3/uL^^99SYS^10*3/uL^^UCUM"

GOOD: Mapping[str, bytes] = {
    "patient": _message(
        _msh(1),
        "PID|||P-1001||Lim^Sora||19750311|F",
        SPM,
        "SAC|||S24-0001",
        'OBR|1|""||PANEL^^99ACM',
        "ORC|SC||||CM",
        "NTE|1|L|slightly haemolysed",
        "TQ1|||||||||R^^HL70485",
        _obx(1, "NM", GLU, "5.10", UNIT, "N"),
        "NTE|1|L|read twice",
        "NTE|2|L|5 \\S\\ 6 \\T\\ 7 \\E\\ 8\\.br\\next line",
        _obx(2, "SN", "K^Potassium^99ACM", "<^0.3", UNIT, "<", run="1"),
        _obx(3, "ST", "TXT^^99ACM", "3.26E+05"),
        'OBR|2|""||GLU^^99ACM',
        "ORC|SC||||CM",
        _obx(1, "NM", GLU, "-0.4", UNIT, "L", status="P"),
    ),
    "no patient": _message(_msh(2), SPM, *ORDER, _obx(1, "NM", WBC, "8.13", CELLS)),
    "control": _message(
        _msh(3),
        QC,
        "SAC|||QC-42140811",
        "INV|L2^^99SYS|OK^^HL70383|CO^^HL70384|||||||||20250131||||42140811",
        *ORDER,
        _obx(1, "NM", WBC, "7.02", CELLS, "N"),
    ),
    "control without inventory": _message(_msh(4), QC, *ORDER, _obx(1, "NM", WBC, "7.02", CELLS, "N")),
    "observation report": _message(
        _msh(5, "ORU^R01^ORU_R01"),
        "PID|||P-1001||^^^^^^U",
        "ORC|RE",
        'OBR|1|""||CBC^^99SYS',
        _obx(1, "NM", WBC, "11.42", CELLS, "H"),
        "NTE|1|L|checked",
        SPM,
    ),
    "picture": _message(
        _msh(6),
        SPM,
        *ORDER,
        _obx(1, "ED", "SCAT_WDF^^99SYS^S_GRAPH^Graph^IHELAW", "^IM^PNG^Base64^iVBORw0KGgo="),
    ),
    "no result": _message(
        _msh(7),
        SPM,
        *ORDER,
        _obx(1, "", WBC, "", CELLS, "A", "X"),
        "NTE|1|L|analysis error (----)",
        _obx(2, "", "PLT^^99SYS", "", "", "", "X"),
        "NTE|1|L|no value sent",
    ),
    "korean": _message(
        _msh(8),
        "PID|||P-1016||김^민준||19880523|M",
        SPM,
        "SAC|||S24-0001",
        *ORDER,
        "NTE|1|L|용혈 검체",
        _obx(1, "NM", "TSH^갑상선자극호르몬^99ACM", "2.31", "mIU/L^^99ACM", "N"),
        "NTE|1|L|재검 필요 없음",
    ),
    "validation": _message(_msh(9, mode="T"), SPM, *ORDER, _obx(1, "NM", WBC, "8.13", CELLS)),
    "cancelled order": _message(_msh(10), SPM, f'OBR|1|""||FIB^^99ACM{"|" * 21}X', "ORC|SC||||CA", "NTE|1|L|clotted"),
    "held note": _message(_msh(11), "NTE|1|L|2 results are held", SPM, *ORDER, _obx(1, "NM", WBC, "8.13", CELLS)),
    "proficiency": _message(
        _msh(12), SPM.replace("P^Patient", "F^Survey"), *ORDER, _obx(1, "SN", WBC, "^1^:^128", CELLS)
    ),
}
"""Name -> ER7 bytes, CR after every segment."""
