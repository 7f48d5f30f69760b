"""The simulator's processes."""
