"""How weights are rounded to few bits, and how few each of them gets."""
