"""Images to and from registries, over HTTP."""
