"""What Pixi installed, as archives again: conda packages as ``.conda``, distributions as wheels."""
