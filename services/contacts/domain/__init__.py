"""Pure rules of contacts, without I/O."""
