"""Programs that run inside the pods of the object store. They import the standard library only."""
