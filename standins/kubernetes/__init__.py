"""Stand-in for pulumi-resource-kubernetes: server-side apply against a real Kubernetes API server.

It follows the official provider where a program can see it: names, namespaces, what replaces and what updates, previews
by dry run, waiting, deletion. It knows no Helm, no Kustomize, no YAML groups and no rendering to files.
"""

VERSION = "4.34.2"
"""The version of pulumi-kubernetes that this stands in for."""
