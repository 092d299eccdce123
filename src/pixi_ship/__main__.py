"""``python -m pixi_ship``."""

from pixi_ship.cli import main

main()
