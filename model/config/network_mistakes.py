"""Network rules that reach into the cluster itself: what only the stack and its tenants together can tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from model.config.document import Document, Place
from model.config.mistakes import Mistake
from model.config.network_rules import PRIVATE, ClusterNetwork, NetworkRules, within
from model.config.tenants import Tenant, place_of
from model.config.unsound import sound


def problems(tenants: Sequence[Tenant], source: Document, cluster: ClusterNetwork) -> Iterator[Mistake]:
    """What tenants' rules open by mistake; `tenants` are those of the document `source`, in its order."""
    for index, tenant in sound(tenants):
        if any(network_mistakes(tenant.network, cluster, source, ())):
            (*place, _) = place_of(source, index, ("network", "egress"))
            yield from network_mistakes(tenant.network, cluster, source, tuple(place))


def network_mistakes(rules: NetworkRules, cluster: ClusterNetwork, source: Document, place: Place) -> Iterator[Mistake]:
    """Rules that reach into this cluster without saying so; `place` is where `network` stands in the document.

    A network around one of the cluster's own is no mistake: its policy leaves that part closed.
    """
    for index, rule in enumerate(rules.egress):
        if rule.cidr is None or rule.inside_cluster:
            continue
        for own in cluster.ranges:
            if within(rule.cidr, own):
                known = "lies in" if cluster.ranges != PRIVATE else "may lie in"
                message = f"{rule.cidr} {known} the cluster's own {own}, where other tenants' pods are"
                remedy = "Write `insideCluster: true` and the ports if that is meant; for pods, name their namespace."
                yield source.mistake((*place, "egress", index, "cidr"), message, remedy)
