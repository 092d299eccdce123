"""Images as they are looked at: what they say of themselves, and how two of them differ."""
