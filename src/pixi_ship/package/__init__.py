"""Package archives: conda's two formats, read without unpacking; and made again of a prefix.

The ``repack`` modules do the latter: of what Pixi installed, a ``.conda`` or a wheel.
"""
