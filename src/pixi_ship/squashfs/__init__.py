"""Squashfs 4.0: packed file contents that can be shared, and filesystems made of them."""
