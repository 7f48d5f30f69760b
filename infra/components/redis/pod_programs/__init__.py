"""Programs that run inside the pods of Redis. They import the standard library only."""
