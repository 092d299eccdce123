"""Package archives: conda's two formats, read without unpacking."""
