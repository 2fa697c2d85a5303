"""Attacks on traffic: host names, routes and Services that would take or read requests for others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from model.kubernetes.manifests import Manifest
from tests.isolation import objects as of
from tests.isolation.attack import BASIC, NEIGHBOUR, OWN, WIDE, Attack, commit, request
from tests.isolation.defences import ADMISSION, QUOTA, SPACE, admission_policy


def traffic() -> Iterator[Attack]:
    """Attempts to receive requests for other hosts."""

    def tries(name: str, reason: str, manifest: Manifest, *, policy: str = "hosts", tenant: str = BASIC) -> Attack:
        return request(name, (admission_policy(policy),), reason, manifest, tenant)

    theirs, own = f"{NEIGHBOUR}.example.com", f"{BASIC}.example.com"
    foreign = "not host names of this tenant: "
    for what, host in (
        ("a neighbour's host name", theirs),
        ("all host names of a domain", "*.example.com"),
        ("a name that ends like its own", f"evil{BASIC}.example.net"),
        ("the domain above its own", "basic.example.net"),
        ("a name below its own exact one", f"admin.{own}"),
    ):
        yield tries(f"an Ingress takes {what}", foreign + host, of.ingress(BASIC, host))
        yield tries(f"a route takes {what}", foreign + host, of.route(BASIC, own, host))
    yield tries("a gRPC route takes a neighbour's host name", foreign, of.route(BASIC, theirs, kind="GRPCRoute"))
    yield tries("an Ingress takes every host name", "this would answer for everybody's", of.ingress(BASIC, None))
    yield tries("a route takes every host name", "this would answer for everybody's", of.route(BASIC))
    default = of.ingress(BASIC, own, defaultBackend=of.BACKEND)
    yield tries("an Ingress takes what nobody else answers", "a default backend answers", default)
    tls = of.ingress(BASIC, own, tls=[{"hosts": [own, theirs], "secretName": "product"}])
    yield tries("an Ingress brings a certificate for a neighbour's name", "tls.hosts holds a host name", tls)

    # A tier that lists whole domains of annotations: their values are checked all the same.
    annotating = f"{WIDE}.example.com"
    alias, dns = "nginx.ingress.kubernetes.io/server-alias", "external-dns.alpha.kubernetes.io/hostname"
    certificate = "cert-manager.io/alt-names"
    reason = "holds a host name that is not this tenant's"
    for what, key, value in (
        ("as an alias", alias, f"{annotating}, {theirs}"),
        ("by a regular expression", alias, f"~^neighbour.example.com|.{WIDE}.example.net"),
        ("above its own, as nginx writes it", alias, f".{WIDE}.example.net"),
        ("in DNS", dns, theirs),
        ("in its certificate", certificate, theirs),
    ):
        manifest = of.ingress(WIDE, annotating, annotations={key: value})
        yield tries(f"an Ingress takes a neighbour's name {what}", reason, manifest, tenant=WIDE)
    record = of.service(WIDE, metadata={"annotations": {dns: theirs}})
    yield tries("a Service takes a neighbour's name in DNS", reason, record, tenant=WIDE)

    for what, key, value in (
        ("a name without or with www", "nginx.ingress.kubernetes.io/from-to-www-redirect", "true"),
        ("an address in its certificate", "cert-manager.io/ip-sans", "10.0.0.10"),
    ):
        manifest = of.ingress(WIDE, annotating, annotations={key: value})
        yield tries(f"an Ingress takes {what}", "claims a name that is in no rule", manifest, tenant=WIDE)

    def steers(name: str, reason: str, manifest: Manifest, tenant: str = BASIC) -> Attack:
        return tries(name, reason, manifest, policy="routing", tenant=tenant)

    for what, key, value, reason in (
        ("configures nginx for all", "nginx.ingress.kubernetes.io/server-snippet", "return 200", "snippets are"),
        ("joins a neighbour's load balancer", "alb.ingress.kubernetes.io/group.name", "all", "other tenants' traffic"),
        ("adds conditions", "alb.ingress.kubernetes.io/conditions.x", "[]", "other tenants' traffic"),
        (
            "reads a neighbour's Secret",
            "nginx.ingress.kubernetes.io/auth-secret",
            "neighbour/users",
            "of another namespace",
        ),
        (
            "reads a neighbour's ConfigMap",
            "nginx.ingress.kubernetes.io/custom-headers",
            "neighbour/headers",
            "of another namespace",
        ),
        (
            "copies requests to a neighbour",
            "nginx.ingress.kubernetes.io/mirror-target",
            f"http://product.{NEIGHBOUR}.svc.cluster.local/$request_uri",
            "may be a neighbour: nginx.ingress.kubernetes.io/mirror-target",
        ),
        (
            "ends nginx's own directive",
            "nginx.ingress.kubernetes.io/rewrite-target",
            "/; } location /all {",
            "could add to the configuration",
        ),
        *(
            (f"asks {host} who may come in", "nginx.ingress.kubernetes.io/auth-url", f"{host}/auth", "auth-url leads")
            for host in (
                f"http://product.{NEIGHBOUR}.svc.cluster.local",
                f"https://product.{NEIGHBOUR}.svc.cluster.local",
                f"https://product.{WIDE}.{NEIGHBOUR}.svc",
                "http://auth.example.com",
                "https://10.0.0.10",
                "https://$arg_host",
            )
        ),
    ):
        yield steers(f"an Ingress {what}", reason, of.ingress(WIDE, annotating, annotations={key: value}), WIDE)
    ending = of.ingress(BASIC, own)
    ending["spec"]["rules"][0]["http"]["paths"][0] |= {"path": '/"; return 200', "pathType": "ImplementationSpecific"}
    yield steers("an Ingress's path ends nginx's own directive", "could add to the configuration", ending)
    yield from _annotations()
    away = {"name": "product", "namespace": NEIGHBOUR, "port": 80}
    reason = "sends requests to another namespace"
    yield steers("a route leads to a neighbour", reason, of.route(BASIC, own, rules=[{"backendRefs": [away]}]))
    mirror = [{"type": "RequestMirror", "requestMirror": {"backendRef": away}}]
    yield steers("a route copies requests to a neighbour", reason, of.route(BASIC, own, rules=[{"filters": mirror}]))
    nested = [{"backendRefs": [{"name": "product", "port": 80, "filters": mirror}]}]
    yield steers("a route's backend copies requests to a neighbour", reason, of.route(BASIC, own, rules=nested))
    asks = [{"type": "ExternalAuth", "externalAuth": {"protocol": "HTTP", "backendRef": away}}]
    yield steers(
        "a route has a neighbour decide who may come in", reason, of.route(BASIC, own, rules=[{"filters": asks}])
    )
    parent = [{"kind": "Service", "group": "", "name": "product", "namespace": NEIGHBOUR}]
    reason = "the traffic of a Service in another namespace"
    yield steers("a route changes a neighbour's Service", reason, of.route(BASIC, own, parentRefs=parent))

    def serves(name: str, reason: str, *, tenant: str = BASIC, **changes: Any) -> Attack:
        return tries(name, reason, of.service(tenant, **changes), policy="services", tenant=tenant)

    for kind in ("NodePort", "LoadBalancer"):
        reason = f"Services of type {kind} are not for this tenant"
        # The quota would refuse them too.
        name, defences = f"a Service is a {kind} where the tier has none", (admission_policy("services"), QUOTA)
        yield request(name, defences, reason, of.service(BASIC, type=kind))
    ports = [{"name": f"p{port}", "port": port, "protocol": "TCP"} for port in range(1, 10_001)]
    yield serves("a Service has ten thousand ports on every node", "every node has rules for each port", ports=ports)
    yield serves("a Service takes somebody's address", "externalIPs take", externalIPs=["10.0.0.10"])
    for host in (
        "product.neighbour.svc.cluster.local.",
        "localhost.",
        "10.0.0.10.",
        "instance.eu-west-1.compute.internal.",
    ):
        yield serves(f"a Service leads to {host}", host, tenant=WIDE, type="ExternalName", externalName=host)
    # Completed with the cluster's domain, this is the name of a Service.
    host = f"product.{NEIGHBOUR}"
    reason = f"Write externalName: {host}."
    yield serves(f"a Service leads to {host}", reason, tenant=WIDE, type="ExternalName", externalName=host)


def _annotations() -> Iterator[Attack]:
    """Instructions to controllers that the tenant's tier does not list, whatever controllers there are."""
    host = f"{BASIC}.example.com"
    ingress, service = of.ingress(BASIC, host), of.service(BASIC)
    for key, manifest in (
        ("nginx.ingress.kubernetes.io/server-alias", ingress),
        ("nginx.ingress.kubernetes.io/denylist-source-range", ingress),
        ("haproxy-ingress.github.io/redirect-from", ingress),
        ("haproxy.org/server-ssl", ingress),
        ("konghq.com/plugins", ingress),
        ("traefik.ingress.kubernetes.io/router.middlewares", ingress),
        ("projectcontour.io/websocket-routes", ingress),
        ("appgw.ingress.kubernetes.io/override-frontend-port", ingress),
        ("alb.ingress.kubernetes.io/load-balancer-attributes", ingress),
        ("external-dns.alpha.kubernetes.io/target", ingress),
        ("kubernetes.io/ingress.global-static-ip-name", ingress),
        ("external-dns.alpha.kubernetes.io/controller", of.route(BASIC, host)),
        ("external-dns.alpha.kubernetes.io/set-identifier", of.route(BASIC, host, kind="GRPCRoute")),
        ("service.beta.kubernetes.io/aws-load-balancer-attributes", service),
        ("getambassador.io/config", service),
        ("networking.istio.io/exportTo", service),
        ("traefik.ingress.kubernetes.io/service.serverstransport", service),
        ("eks.amazonaws.com/role-arn", of.make("ServiceAccount", BASIC)),
        ("iam.gke.io/gcp-service-account", of.make("ServiceAccount", BASIC)),
        ("azure.workload.identity/client-id", of.make("ServiceAccount", BASIC)),
    ):
        kind = manifest["kind"]
        article = "an" if kind == "Ingress" else "a"
        instructed = {**manifest, "metadata": {**manifest["metadata"], "annotations": {key: host}}}
        reason = f"not among the annotations of this tenant: {key}."
        name = f"{article} {kind} has the annotation {key}"
        yield request(name, (admission_policy("annotations"),), reason, instructed)


def commits() -> Iterator[Attack]:
    """Commits with objects that redirect traffic."""
    promise = "A tenant takes no traffic that is meant for others."
    own, theirs = f"{OWN}.example.com", f"{NEIGHBOUR}.example.com"
    snippet = {"nginx.ingress.kubernetes.io/configuration-snippet": "return 200;"}
    for what, reason, policy, manifest in (
        ("an Ingress takes a neighbour's host name", theirs, "hosts", of.ingress(OWN, theirs)),
        ("an Ingress takes every host name", "answer for everybody's", "hosts", of.ingress(OWN, None)),
        (
            "an Ingress configures the controller for all",
            "denied request: ",  # by two policies; the API server may quote either
            "annotations",
            of.ingress(OWN, own, annotations=snippet),
        ),
        ("a Service opens a port of every node", "type NodePort", "services", of.service(OWN, type="NodePort")),
        ("a Service takes an address", "externalIPs take", "services", of.service(OWN, externalIPs=["10.0.0.10"])),
        (
            "a Service leads the ingress controller to a neighbour",
            "ExternalName",
            "services",
            of.service(OWN, type="ExternalName", externalName=f"product.{NEIGHBOUR}.svc.cluster.local"),
        ),
    ):
        # The quota of node ports refuses it too.
        away = ADMISSION | SPACE if "NodePort" in reason else ADMISSION
        defence = f"admission: saas-tenant-{policy}"
        yield commit(what, promise, reason, defence, away, tenant=BASIC, objects=(of.evil(manifest),))


ATTACKS = (*traffic(), *commits())
