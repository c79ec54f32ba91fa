"""One OUL^R22 with 24 OBX: the agent's builder, list-and-join, hl7apy."""

from benchmarks.kit import Finding, Sample, Size, interleaved, ratios, timed
from benchmarks.reference import hl7_join, hl7apy_oul

from hl7 import oul_r22
from hl7.values import Coded, Device, Header, Message, Observation, Order, PatientValues, SpecimenValues

MOST = 2.0


def message(results: int = 24) -> Message:
    return Message(
        Header("xn1", "seoul-01", "IVD", "CENTRAL", "20260301101200.123+0900", "0A1B2C3D-00000000001"),
        SpecimenValues("B000000001", Coded("P", "", "HL70369")),
        (Order(Coded("CBC", "Blood count", "99SYS"), tuple(_observation(n) for n in range(results))),),
        PatientValues("PID0000001", ("Brown", "Bobby", "B"), "19650102", "M"),
    )


def _observation(n: int) -> Observation:
    return Observation(
        Coded(f"WBC{n}", f"Leukocytes & more {n}", "99SYS", "6690-2", "Leukocytes", "LN"),
        "F",
        "NM",
        (f"{n + 1}.25",),
        unit=Coded("10*3/uL", "", "UCUM"),
        range="3.90-9.80",
        flags=(Coded("N", "Normal", "HL70078"),),
        observers=("tech",),
        devices=(Device("XN-1000", "Maker"),),
        analysed="20260301101100+0900",
    )


def measure(size: Size) -> list[Finding]:
    values = message()
    found = interleaved(
        {
            "join": lambda: timed(lambda: [hl7_join.build(values) for _ in range(size.built)]) / size.built * 1000,
            "own": lambda: timed(lambda: [oul_r22.build(values) for _ in range(size.built)]) / size.built * 1000,
            "hl7apy": lambda: (
                timed(lambda: [hl7apy_oul.build(values) for _ in range(size.by_hl7apy)]) / size.by_hl7apy * 1000
            ),
        },
        size.repeats,
    )
    ratio = ratios(found["own"], found["join"])
    reference = f"list-and-join {_ms(found['join'])}; hl7apy {_ms(found['hl7apy'])}"
    return [Finding("hl7", f"{ratio.show('x')} ({_ms(found['own'])})", reference, ratio.median <= MOST)]


def _ms(sample: Sample) -> str:
    return sample.show("ms")
