"""Whether an image holds what its lock says: both as files, held against each other."""
