"""HL7 v2 as text; knows no analyser."""
