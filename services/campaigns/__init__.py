"""Campaigns service: plans one message per contact of a list and tracks the state of each message."""
