"""OCI images: what they are made of, how they are read and written."""
