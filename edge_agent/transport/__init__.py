"""Ports: the only modules that open one."""
