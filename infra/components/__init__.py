"""One folder per thing the platform stands on: a typed contract, an implementation per kind of cluster."""
