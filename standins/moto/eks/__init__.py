"""EKS inside moto's server: moto has no add-ons, access entries or Pod Identity, and checks few references.

`install` puts this in the place of moto's own EKS before the server starts. The caller passes a function that describes
the control plane: a cluster's endpoint, certificate authority and version are those of its API server.
"""

from standins.moto.eks.backend import install
from standins.moto.eks.control_plane import ControlPlane, NoControlPlaneError

__all__ = ["ControlPlane", "NoControlPlaneError", "install"]
