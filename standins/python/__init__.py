"""The language host for Python, where the official one is missing."""
