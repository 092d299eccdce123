"""How an image is made active: its paths, its variables, its scripts."""
