"""Kubernetes objects as dicts."""
