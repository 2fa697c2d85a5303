"""What AWS offers, as of 2026-11-23. A test compares the regions with botocore's own list."""

REGIONS = frozenset(
    """
    af-south-1 ap-east-1 ap-east-2 ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-south-2 ap-southeast-1
    ap-southeast-2 ap-southeast-3 ap-southeast-4 ap-southeast-5 ap-southeast-6 ap-southeast-7 ca-central-1 ca-west-1
    eu-central-1 eu-central-2 eu-north-1 eu-south-1 eu-south-2 eu-west-1 eu-west-2 eu-west-3 il-central-1 me-central-1
    me-south-1 mx-central-1 sa-east-1 us-east-1 us-east-2 us-west-1 us-west-2
    """.split()
)
"""The regions of the public partition."""

STANDARD_SUPPORT = {"1.34": "2026-12-02", "1.35": "2027-03-27", "1.36": "2027-08-02"}
"""EKS versions in standard support, and until when (EKS user guide, "Kubernetes versions")."""

GATEWAY_ENDPOINTS = ("s3", "dynamodb")
"""Services reached through a gateway endpoint, which costs nothing."""

INTERFACE_ENDPOINTS = (
    "autoscaling",
    "cognito-idp",
    "ec2",
    "ecr.api",
    "ecr.dkr",
    "eks",
    "eks-auth",
    "elasticloadbalancing",
    "kms",
    "logs",
    "secretsmanager",
    "sqs",
    "ssm",
    "sts",
)
"""Services that this network can reach through an interface endpoint, at an hourly price per zone."""

ADDONS = ("vpc-cni", "coredns", "kube-proxy", "eks-pod-identity-agent", "metrics-server", "aws-ebs-csi-driver")
"""The EKS add-ons that the cluster component knows how to set up."""

LOG_TYPES = ("api", "audit", "authenticator", "controllerManager", "scheduler")
"""All logs of an EKS control plane."""
