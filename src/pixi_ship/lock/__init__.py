"""What ``pixi.lock`` says, as values; py-rattler does the parsing."""
