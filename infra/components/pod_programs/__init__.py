"""Programs that run inside pods of several components. They import the standard library only."""
