"""Programs that run inside the pods of backups. They import the standard library, psycopg2 and each other."""
