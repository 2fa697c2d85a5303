"""Host names of tenants: no two tenants may have the same one, nor one that another's wildcard covers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence


def overlaps(hosts: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str, str, str]]:
    """Each host of a tenant that is another tenant's too: tenant, host, the other tenant, the other's host.

    A wildcard covers every name below it, however deep, as HTTPRoutes take it. Of two tenants with the same host the
    later one is told.
    """
    owners: dict[str, list[str]] = {}
    for tenant, names in hosts.items():
        for host in dict.fromkeys(names):
            owners.setdefault(host, []).append(tenant)
    for tenant, names in hosts.items():
        for index, host in enumerate(names):
            if host in names[:index]:
                continue
            if owners[host][0] != tenant:
                yield tenant, host, owners[host][0], host
            for wildcard in _covering(host):
                for owner in owners.get(wildcard, ()):
                    if owner != tenant:
                        yield tenant, host, owner, wildcard


def _covering(host: str) -> Iterator[str]:
    """The wildcards that cover a host, beside itself."""
    labels = host.removeprefix("*.").split(".")
    for index in range(0 if host.startswith("*.") else 1, len(labels)):
        wildcard = f"*.{'.'.join(labels[index:])}"
        if wildcard != host:
            yield wildcard
