"""A job as text for a scheduler: what runs where, of an image that is there already."""
