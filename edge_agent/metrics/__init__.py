"""Figures for Prometheus: the table of them, how they are gathered, where they are read."""
