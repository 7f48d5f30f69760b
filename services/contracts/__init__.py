"""What the services and the toolkit agree on: schemas, topics, ports. No I/O; the lowest layer."""
