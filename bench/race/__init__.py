"""The classic recipe, an archive of the prefix, and pixi-ship, on the same environments."""
