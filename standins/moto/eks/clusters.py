"""Clusters: EKS' checks when a cluster is created or changed, and its defaults."""

from __future__ import annotations

import ipaddress
import secrets
import uuid
from typing import Any

from moto.core.utils import utcnow

from standins.moto.eks.control_plane import ControlPlane, NoControlPlaneError
from standins.moto.eks.errors import EksError, refuse
from standins.moto.eks.references import References, Values

LOG_TYPES = ("api", "audit", "authenticator", "controllerManager", "scheduler")
PRIVATE = [ipaddress.IPv4Network(block) for block in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]
LATE_LOGS: set[str] = set()
"""Log groups of deleted clusters that EKS still writes to."""
AUTO_POOLS = {"general-purpose", "system"}
UNKNOWN = (
    *("outpostConfig", "zonalShiftConfig", "remoteNetworkConfig", "controlPlaneScalingConfig"),
    *("kubeApiServerConfig", "kubeSchedulerConfig", "kubeControllerManagerConfig"),
)
"""Parameters that nothing here acts on."""


class Clusters:
    """Operations on clusters. A cluster is its description, with what belongs to it under keys that begin with `_`."""

    account_id: str
    region_name: str
    partition: str
    references: References
    clusters: dict[str, Values]
    updates: dict[str, Values]

    def control_plane(self) -> ControlPlane:
        """The control plane that a new cluster is. Raises NoControlPlaneError."""
        raise NotImplementedError

    def start_auto_mode(self) -> None:
        """Bring Auto Mode's definitions into the control plane."""
        raise NotImplementedError

    def cluster(self, name: str) -> Values:
        """Raises ResourceNotFoundException."""
        if name not in self.clusters:
            raise EksError("ResourceNotFoundException", f"No cluster found for name: {name}.")
        return self.clusters[name]

    def arn(self, resource: str) -> str:
        return f"arn:{self.partition}:eks:{self.region_name}:{self.account_id}:{resource}"

    def create_cluster(self, given: Values) -> Values:
        name = given["name"]
        _refuse_unknown(given)
        if name in self.clusters:
            raise EksError("ResourceInUseException", f"Cluster already exists with name: {name}")
        try:
            body = self.control_plane()
        except NoControlPlaneError as error:
            raise EksError("ServiceUnavailableException", str(error)) from error
        version = given.get("version") or body.version
        _check_version(version, body)
        self.references.role(given["roleArn"], "eks.amazonaws.com")
        access = given.get("accessConfig") or {}
        mode = access.get("authenticationMode") or "CONFIG_MAP"
        auto = _check_auto_mode(given, mode)
        for config in given.get("encryptionConfig") or []:
            self.references.key(config["provider"]["keyArn"])
        network = self._vpc(given["resourcesVpcConfig"], {})
        services = given.get("kubernetesNetworkConfig") or {}
        _check_services(services.get("serviceIpv4Cidr"), self.references.cidr(network["vpcId"]))
        # After the checks: the explanation is for requests that would succeed elsewhere.
        if others := sorted(self._all_clusters()):
            raise EksError(
                "ResourceLimitExceededException",
                f"this platform has one control plane, and it is the body of the cluster {others[0]}: delete that one, "
                "or use another platform (SAAS_LOCAL_HOME) for the second",
            )
        tags = {**(given.get("tags") or {}), "aws:eks:cluster-name": name}
        group = f"eks-cluster-sg-{name}-{secrets.randbelow(10**9):09}"
        network["clusterSecurityGroupId"] = self.references.make_security_group(
            group, network["vpcId"], {"Name": group, f"kubernetes.io/cluster/{name}": "owned"} | tags
        )
        issuer = f"https://oidc.eks.{self.region_name}.amazonaws.com/id/{secrets.token_hex(16).upper()}"
        made: Values = {
            "name": name,
            "arn": self.arn(f"cluster/{name}"),
            "createdAt": utcnow(),
            "version": version,
            "endpoint": body.endpoint,
            "roleArn": given["roleArn"],
            "resourcesVpcConfig": network,
            "kubernetesNetworkConfig": _network(services, self.references.cidr(network["vpcId"]), auto),
            "logging": _logging(given.get("logging")),
            "identity": {"oidc": {"issuer": issuer}},
            "status": "ACTIVE",
            "certificateAuthority": {"data": body.certificate_authority},
            "platformVersion": "eks.1",
            "tags": given.get("tags") or {},
            "encryptionConfig": given.get("encryptionConfig") or [],
            "health": {"issues": []},
            "accessConfig": {
                "authenticationMode": mode,
                "bootstrapClusterCreatorAdminPermissions": access.get("bootstrapClusterCreatorAdminPermissions", True),
            },
            "upgradePolicy": {"supportType": (given.get("upgradePolicy") or {}).get("supportType") or "EXTENDED"},
            "deletionProtection": bool(given.get("deletionProtection")),
            "computeConfig": _compute(given.get("computeConfig") or {}),
            "storageConfig": {"blockStorage": {"enabled": auto}},
            "_nodeGroups": {},
            "_addons": {},
            "_entries": {},
            "_associations": {},
        }
        self.clusters[name] = made
        self._log(made)
        if auto:
            self.start_auto_mode()
        if role := made["computeConfig"].get("nodeRoleArn"):
            self.add_node_entry(made, role, "EC2")
        return {"cluster": made}

    def add_node_entry(self, cluster: Values, role: str, kind: str) -> None:
        raise NotImplementedError

    def _all_clusters(self) -> list[str]:
        """Names of the clusters in all regions and accounts, as there is one control plane for them all."""
        from moto.eks.models import eks_backends

        backends = [regional for account in eks_backends.values() for regional in account.values()]
        return [name for backend in backends for name in backend.clusters]

    def _log(self, cluster: Values) -> None:
        if any(setup["enabled"] for setup in cluster["logging"]["clusterLogging"]):
            self.references.make_log_group(f"/aws/eks/{cluster['name']}/cluster")

    def _vpc(self, given: Values, old: Values) -> Values:
        """The network settings: the given ones, else the present ones, else EKS' defaults."""
        default = {"endpointPublicAccess": True, "endpointPrivateAccess": False, "publicAccessCidrs": ["0.0.0.0/0"]}
        merged = {"securityGroupIds": [], **default, **old, **{k: v for k, v in given.items() if v is not None}}
        subnets = self.references.subnets(merged.get("subnetIds") or [])
        if len({subnet.availability_zone for subnet in subnets}) < 2:
            raise refuse("Subnets specified must be in at least two different AZs")
        merged["vpcId"] = subnets[0].vpc_id
        zones = sorted({subnet.availability_zone for subnet in subnets})
        if old and zones != old["_zones"]:
            given_zones, own_zones = ",".join(zones), ",".join(old["_zones"])
            reason = f"But they should belong to the exact set of AZs '{own_zones}' in which subnets were provided"
            raise refuse(f"Provided subnets belong to the AZs '{given_zones}'. {reason} during cluster creation.")
        merged["_zones"] = zones
        if old and merged["vpcId"] != old["vpcId"]:
            raise refuse("Provided subnets belong to another VPC than the cluster's.")
        self.references.security_groups(merged["securityGroupIds"], merged["vpcId"])
        if not merged["endpointPublicAccess"] and not merged["endpointPrivateAccess"]:
            raise refuse("Private and public endpoint access cannot be false at the same time.")
        for cidr in merged["publicAccessCidrs"] if merged["endpointPublicAccess"] else []:
            try:
                ipaddress.ip_network(cidr)
            except ValueError as error:
                raise refuse(f"The following CIDR is invalid in publicAccessCidrs: {cidr}") from error
        if not merged["endpointPublicAccess"]:
            merged["publicAccessCidrs"] = []
        return merged

    def describe_cluster(self, given: Values) -> Values:
        return {"cluster": self.cluster(given["name"])}

    def list_clusters(self, given: Values) -> Values:
        return {"clusters": sorted(self.clusters)}

    def delete_cluster(self, given: Values) -> Values:
        cluster = self.cluster(given["name"])
        if cluster["deletionProtection"]:
            reason = "Cannot delete cluster because deletion protection is enabled"
            raise EksError("InvalidRequestException", reason)
        if cluster["_nodeGroups"]:
            raise EksError("ResourceInUseException", "Cluster has nodegroups attached")
        self.references.delete_security_group(cluster["resourcesVpcConfig"]["clusterSecurityGroupId"])
        if any(setup["enabled"] for setup in cluster["logging"]["clusterLogging"]):
            LATE_LOGS.add(f"/aws/eks/{given['name']}/cluster")
        return {"cluster": {**self.clusters.pop(given["name"]), "status": "DELETING"}}

    def update_cluster_config(self, given: Values) -> Values:
        cluster = self.cluster(given["name"])
        _refuse_unknown(given)
        kinds = {
            "resourcesVpcConfig": self._update_vpc,
            "logging": self._update_logging,
            "accessConfig": self._update_access,
            "upgradePolicy": self._update_policy,
            "deletionProtection": self._update_protection,
        }
        if any(given.get(key) is not None for key in ("computeConfig", "storageConfig", "kubernetesNetworkConfig")):
            kinds = {"computeConfig": self._update_auto_mode}
        wanted = [key for key in kinds if given.get(key) is not None]
        if len(wanted) != 1:
            raise refuse("Only one type of update can be allowed.")
        kinds[wanted[0]](cluster, given)
        return self.updated("ConfigUpdate")

    def _update_vpc(self, cluster: Values, given: Values) -> None:
        old = cluster["resourcesVpcConfig"]
        new = self._vpc(given["resourcesVpcConfig"], old)
        if all(new[key] == old[key] for key in new):
            raise refuse("Cluster is already at the desired configuration with the given VPC settings")
        cluster["resourcesVpcConfig"] = new

    def _update_logging(self, cluster: Values, given: Values) -> None:
        before = {kind for setup in cluster["logging"]["clusterLogging"] if setup["enabled"] for kind in setup["types"]}
        for setup in given["logging"]["clusterLogging"]:
            before = before | set(setup["types"]) if setup.get("enabled") else before - set(setup["types"])
        new = _logging({"clusterLogging": [{"types": sorted(before), "enabled": True}]})
        if new == cluster["logging"]:
            raise refuse("No changes needed for the logging config provided")
        cluster["logging"] = new
        self._log(cluster)

    def _update_access(self, cluster: Values, given: Values) -> None:
        order = ("CONFIG_MAP", "API_AND_CONFIG_MAP", "API")
        old, new = cluster["accessConfig"]["authenticationMode"], given["accessConfig"]["authenticationMode"]
        if order.index(new) != order.index(old) + 1:
            raise refuse(f"Unsupported authentication mode update from {old} to {new}")
        cluster["accessConfig"]["authenticationMode"] = new

    def _update_policy(self, cluster: Values, given: Values) -> None:
        cluster["upgradePolicy"] = given["upgradePolicy"]

    def _update_protection(self, cluster: Values, given: Values) -> None:
        cluster["deletionProtection"] = given["deletionProtection"]

    def _update_auto_mode(self, cluster: Values, given: Values) -> None:
        auto = _check_auto_mode(
            {**given, "bootstrapSelfManagedAddons": False}, cluster["accessConfig"]["authenticationMode"]
        )
        if auto:
            self.start_auto_mode()
        cluster["computeConfig"] = _compute(given["computeConfig"])
        cluster["storageConfig"] = {"blockStorage": {"enabled": auto}}
        cluster["kubernetesNetworkConfig"]["elasticLoadBalancing"] = {"enabled": auto}

    def update_cluster_version(self, given: Values) -> Values:
        cluster = self.cluster(given["name"])
        if given["version"] == cluster["version"]:
            raise refuse(f"Cluster is already at the desired configuration with version {given['version']}")
        _check_version(given["version"], self.control_plane())
        if _minor(given["version"]) < _minor(cluster["version"]):
            raise refuse(f"Unsupported Kubernetes minor version update from {cluster['version']} to {given['version']}")
        cluster["version"] = given["version"]
        return self.updated("VersionUpdate")

    def associate_encryption_config(self, given: Values) -> Values:
        cluster = self.cluster(given["clusterName"])
        if cluster["encryptionConfig"]:
            raise refuse("Encryption is already enabled on this cluster, with a key that cannot be changed")
        for config in given["encryptionConfig"]:
            self.references.key(config["provider"]["keyArn"])
        cluster["encryptionConfig"] = given["encryptionConfig"]
        return self.updated("AssociateEncryptionConfig")

    def updated(self, kind: str) -> Values:
        """An update that is done already."""
        update = {"id": str(uuid.uuid4()), "status": "Successful", "type": kind, "params": [], "createdAt": utcnow()}
        self.updates[update["id"]] = {**update, "errors": []}
        return {"update": self.updates[update["id"]]}

    def describe_update(self, given: Values) -> Values:
        if given["updateId"] not in self.updates:
            raise EksError("ResourceNotFoundException", f"No update found for ID: {given['updateId']}")
        return {"update": self.updates[given["updateId"]]}


def _refuse_unknown(given: Values) -> None:
    for name in UNKNOWN:
        if given.get(name):
            raise refuse(f"{name}: this platform has nothing that would act on it: leave it out")


def _check_version(version: str, body: ControlPlane) -> None:
    """A control plane can stand for the version before its own, so that an upgrade can be rehearsed."""
    if _minor(version) not in (_minor(body.version), _minor(body.version) - 1):
        raise refuse(f"unsupported Kubernetes version {version}: this platform's control plane is {body.version}")


def _minor(version: str) -> int:
    major, _, minor = version.partition(".")
    return int(minor) if major == "1" and minor.isdigit() else -1


def _check_auto_mode(given: Values, mode: str) -> bool:
    """Whether Auto Mode is on. EKS takes its settings all together, and only with access entries."""
    settings = (
        (given.get("computeConfig") or {}).get("enabled"),
        ((given.get("storageConfig") or {}).get("blockStorage") or {}).get("enabled"),
        ((given.get("kubernetesNetworkConfig") or {}).get("elasticLoadBalancing") or {}).get("enabled"),
    )
    if len({bool(setting) for setting in settings}) > 1:
        raise refuse(
            "For EKS Auto Mode, please ensure that all required configs, including computeConfig, "
            "kubernetesNetworkConfig, and blockStorage are all either fully enabled or fully disabled."
        )
    compute = given.get("computeConfig") or {}
    if compute.get("nodePools") and not compute.get("nodeRoleArn"):
        raise refuse("When Compute Config nodeRoleArn is null or empty, nodePool value(s) cannot be specified")
    if compute.get("nodeRoleArn") and not compute.get("nodePools"):
        raise refuse("When Compute Config nodeRoleArn is given, nodePool value(s) must be specified")
    if unknown := set(compute.get("nodePools") or []) - AUTO_POOLS:
        raise refuse(f"{sorted(unknown)[0]} is no built-in node pool: {', '.join(sorted(AUTO_POOLS))}")
    if settings[0] and mode == "CONFIG_MAP":
        raise refuse("EKS Auto Mode requires the authentication mode API or API_AND_CONFIG_MAP")
    if settings[0] and given.get("bootstrapSelfManagedAddons", True):
        raise refuse("When EKS Auto Mode is enabled, bootstrapSelfManagedAddons must be set to false")
    return bool(settings[0])


def _compute(given: Values) -> Values:
    compute = {"enabled": bool(given.get("enabled")), "nodePools": given.get("nodePools") or []}
    return {**compute, **({"nodeRoleArn": given["nodeRoleArn"]} if given.get("nodeRoleArn") else {})}


def _check_services(cidr: str | None, vpc: str) -> None:
    if not cidr:
        return
    services = ipaddress.IPv4Network(cidr)
    if not 12 <= services.prefixlen <= 24 or not any(services.subnet_of(private) for private in PRIVATE):
        raise refuse(f"serviceIpv4Cidr {cidr} is not within {', '.join(map(str, PRIVATE))}, or not between /24 and /12")
    if services.overlaps(ipaddress.IPv4Network(vpc)):
        raise refuse(f"serviceIpv4Cidr {cidr} overlaps the VPC's {vpc}")


def _network(given: Values, vpc: str, auto: bool) -> Values:
    # EKS keeps services out of the VPC's way.
    ours = "10.100.0.0/16" if ipaddress.ip_network(vpc).overlaps(ipaddress.ip_network("172.16.0.0/12")) else ""
    return {
        "ipFamily": given.get("ipFamily") or "ipv4",
        "serviceIpv4Cidr": given.get("serviceIpv4Cidr") or ours or "172.20.0.0/16",
        "elasticLoadBalancing": {"enabled": auto},
    }


def _logging(given: Any) -> Values:
    on: set[str] = set()
    for setup in (given or {}).get("clusterLogging") or []:
        if unknown := set(setup.get("types") or []) - set(LOG_TYPES):
            raise refuse(f"{sorted(unknown)[0]} is no log type: {', '.join(LOG_TYPES)}")
        on |= set(setup.get("types") or []) if setup.get("enabled") else set()
    setups = {True: [kind for kind in LOG_TYPES if kind in on], False: [kind for kind in LOG_TYPES if kind not in on]}
    return {"clusterLogging": [{"types": kinds, "enabled": enabled} for enabled, kinds in setups.items() if kinds]}
