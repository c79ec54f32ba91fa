"""Whether an analyser's line works: listening without acknowledging anything."""
