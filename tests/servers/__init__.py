"""Real servers for tests: each controller starts, stops, kills and asks one."""
