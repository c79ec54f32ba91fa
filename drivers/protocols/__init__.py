"""Link and record protocols: bytes in, events and answers out."""
