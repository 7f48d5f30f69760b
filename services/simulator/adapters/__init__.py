"""The simulator's ways to the outside: Postgres, callbacks over HTTP, its two HTTP faces."""
