"""Trees as layers: split, written as tar, compressed, kept by what they are made of."""
