"""Pushes to a registry and pulls from it: layers of packages against one layer of everything."""
