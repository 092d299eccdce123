"""Run what activates an environment, or finishes its packages, when the image is made."""
