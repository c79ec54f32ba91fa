"""Everything that knows an analyser."""
