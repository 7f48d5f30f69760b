"""Campaigns: one text to a list of contacts, planned in chunks and followed to the end."""
