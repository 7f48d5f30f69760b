"""Background loops and one-shot programs of the campaigns service."""
