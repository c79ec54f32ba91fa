"""A new store out of a damaged one: the evidence kept, every readable row carried over, what is missing named."""
