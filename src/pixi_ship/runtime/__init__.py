"""Runtimes that start a command in an image: which is here, and the words that each wants."""
