"""Code tables of HL7 2.5.1 as far as results need them, and what this project allows of each.

Numbers are HL7 table numbers; the values were taken from the standard's own definitions (chapters 2, 4, 7, 13). A
comment says where IHE LAW or the project's design narrows a table.
"""

SEX = frozenset("AFMNOU")  # 0001
ACKNOWLEDGEMENT = frozenset(("AL", "NE", "ER", "SU"))  # 0155
ABNORMAL_FLAG = frozenset(
    ("<", ">", "A", "AA", "B", "D", "H", "HH", "I", "L", "LL", "MS", "N", "null", "R", "S", "U", "VS", "W")
)  # 0078
NATURE_OF_TEST = frozenset(("A", "B", "N", "R", "S", "SP", "ST"))  # 0080
RESULT_STATUS = frozenset("CDFINOPRSUWX")  # 0085
OUR_RESULT_STATUS = frozenset("FCPXISR")  # D N O U W would say what no analyser said
PROCESSING = frozenset("PT")  # 0103 has D too: debugging runs are held
NOTE_SOURCE = frozenset("LOP")  # 0105
ORDER_STATUS = frozenset(("A", "CA", "CM", "DC", "ER", "HD", "IP", "RP", "SC"))  # 0038
ORDER_RESULT_STATUS = frozenset("ACFIOPRSXYZ")  # 0123
SPECIMEN_ACTION = frozenset("AGLOPRS")  # 0065
VALUE_TYPE = frozenset(
    (
        "AD",
        "CE",
        "CF",
        "CK",
        "CN",
        "CP",
        "CX",
        "DT",
        "ED",
        "FT",
        "MO",
        "NM",
        "PN",
        "RP",
        "SN",
        "ST",
        "TM",
        "TN",
        "TS",
        "TX",
        "XAD",
        "XCN",
        "XON",
        "XPN",
        "XTN",
    )
)  # 0125
DATA_TYPE = frozenset(("AP", "AU", "FT", "IM", "multipart", "NS", "SD", "SI", "TEXT", "TX"))  # 0191
DATA_SUBTYPE = frozenset(
    (
        "BASIC",
        "DICOM",
        "FAX",
        "GIF",
        "HTML",
        "JOT",
        "JPEG",
        "Octet-stream",
        "PICT",
        "PostScript",
        "RTF",
        "SGML",
        "TIFF",
        "x-hl7-cda-level-one",
        "XML",
        "PNG",
    )
)  # 0291; PNG is sent by analysers though 2.5.1 lacks it
ENCODING = frozenset(("A", "Hex", "Base64"))  # 0299
SUBSTANCE_STATUS = frozenset(("OK", "EW", "EE", "CW", "CE", "QW", "QE", "NW", "NE", "OW", "OE"))  # 0383
SUBSTANCE_TYPE = frozenset(("CO", "RC", "SR", "MR", "DI", "PT", "LI", "SC", "PW", "LW", "SW", "OT"))  # 0384
PRIORITY = frozenset(("S", "A", "R", "P", "C", "T"))  # 0485
PATIENT_ROLES = frozenset("POFB")  # 0369 on the result route: patient and proficiency
CONTROL_ROLES = frozenset("QCVE")  # 0369 on the qc route
SUPPLEMENTAL_CLASS = frozenset(("S_OTHER", "S_RAW", "S_GRAPH", "S_IMAGE", "S_SUBPOP"))  # LAW, system IHELAW
COMPARATOR = frozenset(("", ">", "<", ">=", "<=", "=", "<>"))  # SN.1
SEPARATOR = frozenset(("", "-", "+", "/", ".", ":"))  # SN.3
