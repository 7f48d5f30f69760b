"""Programs that run in pods: shipped as files, with the standard library, psycopg2 and the tools of the image."""
