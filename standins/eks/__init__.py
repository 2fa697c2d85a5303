"""Stand-in for pulumi-resource-eks: `eks:index:Cluster`, registered child by child as the official one does.

It follows pulumi-eks in types, names, parents, options and outputs, so that a stack's state fits either. Inputs
that are not in `arguments.py` and the default node group are errors.
"""

VERSION = "4.4.0"
