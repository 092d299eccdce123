"""Read package archives: conda's two formats and wheels. Nothing is unpacked to disk."""
