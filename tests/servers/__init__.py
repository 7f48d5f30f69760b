"""Servers for tests: each module starts, stops and kills one kind of server."""
