"""The version of this program, where everything can import it."""

__version__ = "0.1.0"
