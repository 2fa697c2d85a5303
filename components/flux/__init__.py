"""Flux: its installation, its repository, its keys."""
