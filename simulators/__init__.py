"""Analysers, lines and a management system made up for tests."""
