"""The pure core: what should exist, decided from plain data. Nothing here imports Pulumi or touches a cluster.

mistakes     everything wrong with an input, reported at once
unsound      what can still be said where something is wrong
document     YAML with line numbers
schema       how pydantic's findings become mistakes
names        names that Kubernetes, Flux and GitHub accept
tenants      tenants.yaml
mirrors      which sources are read from a mirror
settings     the stack's configuration
manifests    the Kubernetes objects of a tenant and of Flux's sync
flux         Flux's install manifest: selected, locked down, ordered
kubernetes   which Kubernetes versions Flux runs on
"""
