"""EKS inside moto's server: moto has no add-ons, access entries or Pod Identity, and checks few references.

`install` puts this in the place of moto's own EKS before the server starts. A cluster's body is the platform's control
plane: its endpoint, certificate authority and version are the embedded API server's.
"""

from standins.moto.eks.backend import install
from standins.moto.eks.control_plane import ControlPlane, embedded

__all__ = ["ControlPlane", "embedded", "install"]
