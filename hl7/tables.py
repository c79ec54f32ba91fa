"""HL7 2.5.1 tables, as far as result messages need them: codes, and names where a message carries them."""

from collections.abc import Mapping

_FLAGS = "< > A AA B D H HH I L LL MS N null R S U VS W"
ABNORMAL_FLAGS = frozenset(_FLAGS.split())  # 0078
SEXES = frozenset("AFMNOU")  # 0001
PRIORITIES = frozenset("SARCP")  # 0485, those LIS02-A2 O.6 knows
NATURES = frozenset("ASRNB")  # 0080, the one-letter ones: LIS02-A2 R.8 runs them together

SPECIMEN_ROLES: Mapping[str, str] = {  # 0369
    "B": "Blind sample",
    "C": "Calibrator",
    "E": "Electronic QC",
    "F": "Organization proficiency",
    "O": "Operator proficiency",
    "P": "Patient",
    "Q": "Control specimen",
    "V": "Verifying calibrator",
}

_NAMED_SPECIMENS = {  # 0487
    "AMN": "Amniotic fluid",
    "BLD": "Whole blood",
    "BLDA": "Blood arterial",
    "BLDC": "Blood capillary",
    "BLDCO": "Cord blood",
    "BLDV": "Blood venous",
    "CSF": "Cerebral spinal fluid",
    "DUFL": "Duodenal fluid",
    "FLU": "Body fluid, unspecified",
    "GAST": "Gastric fluid",
    "MAR": "Marrow",
    "PLAS": "Plasma",
    "PLB": "Plasma bag",
    "PLR": "Pleural fluid",
    "PPP": "Platelet poor plasma",
    "PRP": "Platelet rich plasma",
    "PRT": "Peritoneal fluid",
    "SAL": "Saliva",
    "SER": "Serum",
    "SMN": "Seminal fluid",
    "SNV": "Synovial fluid",
    "SPT": "Sputum",
    "STL": "Stool",
    "SWT": "Sweat",
    "TISS": "Tissue",
    "UR": "Urine",
    "URC": "Urine clean catch",
    "URT": "Urine catheter",
}
_UNNAMED_SPECIMENS = (
    "ABS ASP BIFL BBL BPU BON BRO BRN CALC CDM CNL CTP CVM CVX COL CNJT CUR CYST DIAF DOSE DRN EAR EARW ELT ENDC ENDM"
    " EYE EXG FLT FIST GAS GEN GENC GENL GENV HAR IHG IT ISLT LAM LN LNA LNV LIQ MEC MBLD MLK MILK NAIL NOS ORH PAFL"
    " PLC PUS RT SKN SKM SPRM SPTC SPTT TEAR THRT TISG TLGI TLNG TISPL TSMI TISU TUB ULC UMB UMED URTH URNS USUB VITF"
    " VOM BDY WAT WICK WND WNDA WNDE WNDD"
)
SPECIMEN_TYPES: Mapping[str, str] = _NAMED_SPECIMENS | dict.fromkeys(_UNNAMED_SPECIMENS.split(), "")
