"""The application. Imports nothing of the toolkit."""
