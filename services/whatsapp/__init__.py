"""Sends each requested message once, by claims with a lease, and follows it up its ladder by callbacks."""
