"""Contacts service: contact lists of companies and their import from CSV files."""
