"""Pure rules of campaigns, without I/O."""
