"""Kafka: producer, consumer, event envelope, retry topics, dead letters and consumer lag."""
