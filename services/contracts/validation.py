"""Validation limits that several services share."""

MAX_TEXT_LENGTH = 4096
"""Longest message text in characters; the limit of the provider."""
CONNECTION_NAME_PATTERN = r"^[a-z0-9][a-z0-9-]{0,62}$"
"""Name of a company's connection."""
