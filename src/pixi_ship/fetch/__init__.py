"""Bring package archives into the cache, checked against the lock while they are read."""
