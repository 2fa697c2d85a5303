"""GitHub, as the platform team and the product teams use it."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi_github as github

from model.config.tenants import Tenant


def github_providers(owner: str, tenants: Sequence[Tenant]) -> dict[str, github.Provider]:
    """A provider for each owner whose repositories get a deploy key: the platform's, and the private products'.

    The token comes from the environment (GITHUB_TOKEN), as the provider reads it. The state holds it encrypted.
    """
    products = {
        tenant.source.github_repository[0]
        for tenant in tenants
        if tenant.source.private and tenant.source.github_repository
    }
    return {name: github.Provider(f"github-{name}", owner=name) for name in sorted({owner, *products})}
