"""What every service stands on: settings, logs, database, outbox, inbox, consumer, HTTP, process."""
