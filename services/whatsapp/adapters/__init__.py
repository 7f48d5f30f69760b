"""The ways to the outside: Postgres, the Cloud API, the HTTP face."""
