"""Jobs that the deploy runs once: the database's roles, schemas and tables, and the topics."""
