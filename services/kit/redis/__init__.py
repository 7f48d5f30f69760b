"""Redis: a client with deadlines that finds the primary through Sentinel."""
