"""The operations behind the commands; they do not know the terminal."""
