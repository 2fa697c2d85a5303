"""What hostile tenants try, each through one request of their own reconciler, and what stops them.

Every attack has to be refused with its reason, and has to get through once its defences are removed: else it would
prove nothing. Who tries decides which defence is the last one: `attack.tenant`.

attacks_on_rights    what is not the tenant's, its own limits, rights that it has not
attacks_on_flux      Flux's objects, Helm
attacks_by_pods      images, nodes, priorities, accounts, volumes, endings, quotas, Pod Security
attacks_by_traffic   host names, routes, Services
"""

from __future__ import annotations

from tests.isolation.attacks_by_pods import endings, images, limits, pods
from tests.isolation.attacks_by_traffic import traffic
from tests.isolation.attacks_on_flux import flux
from tests.isolation.attacks_on_rights import beyond_the_role, outside_of_the_role

ATTACKS = (*outside_of_the_role(), *beyond_the_role(), *flux(), *images(), *pods(), *endings(), *traffic(), *limits())
