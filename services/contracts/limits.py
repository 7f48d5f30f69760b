"""What services that speak of the same thing must agree on when they take it in."""

TEXT_CHARACTERS = 4096
"""Longest text of a message; the provider takes no longer one."""
CONNECTION_NAME = r"^[a-z0-9][a-z0-9-]{0,62}$"
"""Of a company's connection."""
