"""Packages as they lie in the prefix: relocated, mapped, recorded. Gives trees."""
