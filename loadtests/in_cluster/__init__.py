"""Load generators in a cluster: the same master and workers as on this machine, as Jobs."""
