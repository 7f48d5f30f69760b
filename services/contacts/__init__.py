"""Contacts: lists of people of a company, imported from CSV files, numbers in E.164."""
