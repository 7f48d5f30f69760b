"""Programs that run in pods: shipped as files; they have the standard library, psycopg2 and pgBackRest."""
