"""Programs that run inside the pods of Postgres. They import nothing but Patroni."""
