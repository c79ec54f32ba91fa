"""`edge-agent selftest`: proves on a site's own disk that what was acknowledged is kept."""
