"""Photos in, ranked photos out: Postgres, the vector index and the worker."""
