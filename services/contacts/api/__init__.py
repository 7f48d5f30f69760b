"""HTTP API of the contacts service."""
