"""Runbooks: what to do about an incident, one page each."""
