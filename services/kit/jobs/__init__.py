"""One-shot programs that the deploy and the CLI run in the cluster."""
