"""The pure core: what should exist, decided from plain data. Imports neither Pulumi nor the network.

config       what the inputs may say: read, merge, validate; frozen objects come out
kubernetes   Kubernetes objects as dicts
iam          AWS policy documents as JSON, and OpenID Connect
checks       rules that need more than one input
warnings     warnings that do not stop a deployment
status       what exists: tenants and products in a cluster, from its API's answers
"""
