"""Look at a cache, check it, and take out of it what is broken, unused or too much."""
