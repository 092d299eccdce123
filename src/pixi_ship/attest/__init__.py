"""What an image is made of and how: bills of materials, and provenance."""
