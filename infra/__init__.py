"""Building blocks of an environment; no decisions about environments."""
