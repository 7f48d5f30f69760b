"""The steps behind the commands; they know nothing of terminals."""
