"""One folder per device."""
