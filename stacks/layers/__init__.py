"""The layers of an environment as plain Pulumi programs."""
