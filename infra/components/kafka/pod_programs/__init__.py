"""Programs that run inside the pods of Kafka. They import the standard library only."""
