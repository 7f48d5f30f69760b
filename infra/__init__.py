"""Building blocks of an environment; no decisions about environments. Errors, steps and shell are shared by all."""
