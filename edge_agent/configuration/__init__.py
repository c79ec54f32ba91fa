"""The configuration file: found, read, checked, asked for and written."""
