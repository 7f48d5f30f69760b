"""The command line: commands parse and print, actions do."""
