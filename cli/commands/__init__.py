"""The commands, one module per noun: parse, call an action, print."""
