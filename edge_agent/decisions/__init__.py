"""A person's decisions, each on record with who and why: over messages, profiles and modes."""
