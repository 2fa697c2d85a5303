"""Rules that need more than one input: the stack, its tenants, the mirrors."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from model.config.aws import ADDON_ROLES, EBS_CSI, IdentitySettings, backup_bucket
from model.config.aws_access import OWN, PLACEHOLDER, AwsAccess, AwsStatement
from model.config.base import Finding
from model.config.errors import Problem
from model.config.git import GITHUB, RSA_REMEDY, keyscan, rsa_message, rsa_only, ssh_address
from model.config.keys import unreachable
from model.config.mirrors import Mirror, locate
from model.config.names import FLUX_NAMESPACE, IMAGE_SCANNER, IMAGE_WRITER, product_namespace
from model.config.network import PUBLIC_SUBNETS, ClusterAddresses, NetworkRules, NetworkSettings, cluster_reaching
from model.config.notifications import Notification, secret_error
from model.config.quantities import amount
from model.config.sources import location
from model.config.stack import GITHUB_APP_KEY, Settings, keys
from model.config.tenants import PlacedSource, Tenant, TenantList
from model.config.yaml_lines import YamlFile, YamlPath
from model.iam.boundary import TENANT_TAG, ambiguous_names, own_names
from model.iam.oidc import MAXIMUM_DOMAIN, tenant_domain
from model.iam.tenant_policy import ATTACHMENT_LIMIT, INLINE_LIMIT, ROLE_NAME_LIMIT, compact_size, inline_policy
from model.kubernetes.flux import NOTIFIER
from model.kubernetes.storage import class_names

LONGEST_ROLE = "aws-ebs-csi-driver"
"""The longest role in names of the form `<project>-<stack>-<role>`."""
MAXIMUM_PREFIX = ROLE_NAME_LIMIT - len(f"-{LONGEST_ROLE}")
MAXIMUM_HOOKS = 20
"""How many webhooks GitHub takes for one event of a repository. Those of other stacks and people count, too."""
BUCKET = 63
"""The longest name of a bucket."""
NODE_GROUP_SUFFIX = 26
"""Characters appended to a node group's name, so that its replacement gets another name."""
MAXIMUM_CLUSTER = 63 - NODE_GROUP_SUFFIX - 1
"""Names of node groups have at most 63 characters: the cluster's name, a hyphen, the suffix."""

BROAD_REMEDY = "Name only what the product needs, or add a `justification:` for the broader access."


def broken_rules(
    settings: Settings, stack_file: YamlFile, tenants: TenantList, mirrors: Sequence[Mirror], project: str, stack: str
) -> Iterator[Problem]:
    """Values of the inputs that are valid, but not together."""
    yield from name_lengths(settings, stack_file, project, stack)
    yield from unserved_storage(settings, stack_file, tenants)
    yield from trusted_namespaces(settings, stack_file, tenants, mirrors)
    yield from unknown_hosts(tenants, mirrors)
    yield from rsa_only_servers(tenants, mirrors)
    yield from unknown_infra_host(settings, stack_file, mirrors)
    yield from without_deploy_keys(settings, stack_file, tenants, mirrors)
    yield from statuses_elsewhere(tenants)
    yield from users(tenants, settings.aws.identity if settings.aws else None)
    yield from cluster_reaching_rules(tenants, settings.cluster_addresses)
    yield from unknown_public_subnets(tenants, settings.cluster_addresses)
    yield from aws_access(tenants, settings.aws.account if settings.aws else None)
    yield from unknown_images(tenants, settings)
    yield from too_many_hooks(tenants, settings)


def key_generations(
    settings: Settings, stack_file: YamlFile, tenants: TenantList, earlier: Mapping[str, Mapping[str, Any]]
) -> Iterator[Problem]:
    """Generations of keys that the last update's make impossible; `earlier` is its output `deployKeys`."""
    number, before = settings.key_generation, int(earlier.get(FLUX_NAMESPACE, {}).get("generation", 1))
    if number < before:
        message = f"generation {number} of the stack's keys is lower than the last update's, {before}"
        yield stack_file.problem(("keyGeneration",), message, f"Write {before} or more: a generation is used once.")
        return
    holders = {("tenants", index): (tenant.name, tenant) for index, tenant in enumerate(tenants.tenants)}
    products = {("products", name): (product_namespace(name), product) for name, product in tenants.products.items()}
    for place, (key, holder) in (holders | products).items():
        if holder.source and (finding := unreachable(number, holder, holder.source, earlier.get(key, {}))):
            path, message, remedy = finding
            yield tenants.inheritance.file.problem((*place, *path), message, remedy)


def flux_components(settings: Settings, tenants: TenantList) -> tuple[str, ...]:
    """The Flux controllers of a stack: those of its settings, and the image controllers if it commits versions."""
    needed: list[str] = list(settings.flux_components)
    if any(product.written_by(settings.cluster) for product in tenants.products.values()):
        needed += [name for name in (IMAGE_SCANNER, IMAGE_WRITER) if name not in needed]
    return tuple(needed)


def too_many_hooks(tenants: TenantList, settings: Settings) -> Iterator[Problem]:
    """Products whose repository gets more webhooks for pushes than GitHub takes; each product has one."""
    seen: Counter[tuple[str, str]] = Counter()
    for name, product in tenants.products.items() if settings.webhooks else ():
        repository = product.source.github_repository
        if product.wants_github_hook and repository:
            seen[repository] += 1
            if seen[repository] == MAXIMUM_HOOKS + 1:
                message = (
                    f"more than {MAXIMUM_HOOKS} products want a webhook of this repository, and GitHub takes no more"
                )
                remedy = "Write `webhook: {github: false}` for some of them: those are polled."
                yield tenants.inheritance.file.problem(("products", name), message, remedy)


def unknown_images(tenants: TenantList, settings: Settings) -> Iterator[Problem]:
    """Images in repositories that the stack's registry does not have."""
    registry = settings.aws.registry if settings.aws else None
    known = registry.repositories if registry else []
    for name, product in tenants.products.items():
        for key, image in product.images.items() if product.written_by(settings.cluster) else ():
            if image.in_stacks_registry and image.repository not in known:
                path = ("products", name, "images", key, "repository")
                message = f"{image.repository} is not a repository of this stack's registry"
                remedy = "Add it to aws.registry.repositories, or write the image's full name: HOST/NAME."
                yield tenants.inheritance.file.problem(path, message, remedy)


def name_lengths(settings: Settings, file: YamlFile, project: str, stack: str) -> Iterator[Problem]:
    """Names that would exceed AWS' length limits."""
    if settings.aws is None:
        return
    if len(f"{project}-{stack}") > MAXIMUM_PREFIX:
        message = f"{project}-{stack} is too long to be followed by -{LONGEST_ROLE} in the name of an IAM role"
        remedy = f"Choose a project and a stack name with at most {MAXIMUM_PREFIX - 1} characters together."
        yield file.problem(("aws",), message, remedy)
    elif settings.aws.backup and (extra := len(backup_bucket(f"{project}-{stack}", settings.aws.account)) - BUCKET) > 0:
        message = f"{project}-{stack} is too long by {extra} for the name of the bucket for backups"
        yield file.problem(("aws", "backup"), message, "Choose shorter names of the project or the stack.")
    for name, addon in settings.aws.cluster.addons.items():
        if addon.policies and len(role := f"{project}-{stack}-{name}") > ROLE_NAME_LIMIT:
            message = f"{role} is too long for the name of the add-on's IAM role (at most {ROLE_NAME_LIMIT} characters)"
            yield file.problem(("aws", "cluster", "addons", name), message, "Choose a shorter project or stack name.")
    if len(settings.cluster) > MAXIMUM_CLUSTER and not settings.aws.cluster.adopt:
        message = f"{settings.cluster} is too long (names of node groups append {NODE_GROUP_SUFFIX + 1} characters)"
        yield file.problem(("cluster",), message, f"Choose a name with at most {MAXIMUM_CLUSTER} characters.")


def unserved_storage(settings: Settings, file: YamlFile, tenants: TenantList) -> Iterator[Problem]:
    """Quotas of storage in a cluster that cannot create volumes: claims would wait forever, without a word."""
    classes = class_names(settings.aws.cluster) if settings.aws else None
    if classes is None:
        return
    sold = [tenant.name for tenant in tenants.tenants if amount(tenant.quota.get("requests.storage", "1")) > 0]
    if not classes and sold:
        names = ", ".join(sold[:3]) + (f" and {len(sold) - 3} more" if len(sold) > 3 else "")
        message = f"{names} may claim storage (quota requests.storage), and no add-on of the cluster creates volumes"
        remedy = f"Add {EBS_CSI} to addons, or write `requests.storage: 0` in the quota of the tiers."
        yield file.problem(("aws", "cluster", "addons"), message, remedy)
    for index, tenant in enumerate(tenants.tenants if classes else ()):
        parts = {key: key.partition(".storageclass.storage.k8s.io/") for key in tenant.quota}
        named: dict[YamlPath, str] = {("quota", key): name for key, (name, found, _) in parts.items() if found}
        named |= {("storageClasses", place): name for place, name in enumerate(tenant.storage_classes)}
        for path, name in named.items():
            if name not in classes:
                remedy = f"The stack has {' and '.join(classes)}."
                yield tenants.problem(index, path, f"there is no StorageClass {name}", remedy)


def trusted_namespaces(
    settings: Settings, stack_file: YamlFile, tenants: TenantList, mirrors: Sequence[Mirror]
) -> Iterator[Problem]:
    """Tenants named like a namespace that other tenants' network rules, Flux or a repository's URL trust."""
    places: dict[str, list[tuple[str, int | None]]] = {}
    for namespace, place, owner in (
        *_trusted_by_tenants(tenants),
        *_trusted_by_stack(settings, stack_file),
        *((_namespace_in_host(urlsplit(mirror.url).hostname), f"the mirror {mirror.url}", None) for mirror in mirrors),
    ):
        if namespace:
            places.setdefault(namespace, []).append((place, owner))
    for index, tenant in enumerate(tenants.tenants):
        found = dict.fromkeys(place for place, owner in places.get(tenant.name, ()) if owner != index)
        if found:
            message = f"the namespace {tenant.name} is trusted by {', '.join(list(found)[:3])}"
            remedy = "Choose another name for the tenant, or remove the namespace there."
            yield tenants.problem(index, ("name",), message, remedy)


def _trusted_by_tenants(tenants: TenantList) -> Iterator[tuple[str, str, int | None]]:
    """The namespaces that tenants, tiers and defaults trust, where they do, and the index of a tenant's own entry."""
    inheritance, content = tenants.inheritance, tenants.content
    holders: list[tuple[YamlPath, NetworkRules]] = [
        *((("tiers", name), tier.network) for name, tier in content.tiers.items()),
        *((("tenants", index), tenant.network) for index, tenant in enumerate(tenants.tenants)),
    ]
    if content.defaults:
        holders.append((("defaults",), content.defaults.network))

    def where(path: YamlPath, key: str) -> tuple[str, int | None]:
        path = inheritance.source_path(path)
        own = path[1] if path[0] == "tenants" and isinstance(path[1], int) else None
        return f"{key} on line {inheritance.file.line(path)}", own

    for holder, rules in holders:
        for key, namespaces in (
            ("ingressControllers", rules.ingress_controllers),
            ("monitoring", rules.monitoring),
            ("egress", [rule.namespace or "" for rule in rules.egress]),
        ):
            for index, namespace in enumerate(namespaces):
                yield namespace, *where((*holder, "network", key, index), f"network.{key}")
    for placed in tenants.sources:
        yield _namespace_in_host(placed.source.host), *where((*placed.path, "source", "url"), "source.url")
    recipients: list[tuple[YamlPath, list[Notification]]] = [
        *((("products", name), product.notify) for name, product in content.products.items()),
        *((("tenants", index), tenant.notify) for index, tenant in enumerate(tenants.tenants)),
    ]
    for holder, entries in recipients:
        for place, entry in enumerate(entries):
            found, _ = where((*holder, "notify", place, "url"), "notify.url")
            yield _namespace_in_host(urlsplit(entry.address).hostname), found, None
    for name, product in tenants.products.items():
        for key, image in product.images.items():
            place = where(("products", name, "images", key, "repository"), f"products.{name}.images.{key}.repository")
            yield _namespace_in_host(image.host), *place


def _trusted_by_stack(settings: Settings, file: YamlFile) -> Iterator[tuple[str, str, None]]:
    network = settings.network or NetworkSettings()
    hosts = [_namespace_in_host(host.rsplit(":", 1)[0]) for host in network.kustomize_reaches]
    for index, entry in enumerate(settings.notifications):
        line = file.line(("notifications", index, "url"))
        host = urlsplit(entry.address).hostname
        yield _namespace_in_host(host), f"notifications of {file.name} on line {line}", None
    for key, namespaces in (
        ("monitoring", network.monitoring),
        ("webhooks", network.webhooks),
        ("kustomizeReaches", hosts),
    ):
        for index, namespace in enumerate(namespaces):
            line = file.line(("network", key, index))
            yield namespace, f"network.{key} of {file.name} on line {line}", None
    for name, addon in settings.aws.cluster.addons.items() if settings.aws else ():
        # A tenant there could take the role of the add-on's service account.
        namespace = addon.namespace if addon.service_account else ADDON_ROLES.get(name, (addon.namespace,))[0]
        line = file.line(("aws", "cluster", "addons", name))
        yield namespace, f"the add-on {name} of {file.name} on line {line}", None


def _namespace_in_host(host: str | None) -> str:
    """The namespace whose Service a pod would find under a host name, if the namespace exists; empty for none.

    By DNS search paths git.acme is the Service git in the namespace acme, before it is a host outside the cluster.
    """
    labels = re.sub(r"(\.svc)?(\.cluster\.local)?\.?$", "", host or "").split(".")
    return labels[-1] if len(labels) > 1 and not labels[-1].isdigit() else ""


def unknown_hosts(tenants: TenantList, mirrors: Sequence[Mirror]) -> Iterator[Problem]:
    """Private sources on SSH servers without known host keys; a mirror can provide them."""
    for placed in tenants.sources:
        source, found = placed.source, location(placed.source, mirrors, "github's")
        if source.private and source.url.startswith("ssh://") and not found.known_hosts:
            host, _ = ssh_address(found.url)
            place = "" if found.url == source.url else " to its mirror"
            remedy = f"Add `knownHosts:`{place} with the output of `{keyscan(found.url)}`, after verifying it."
            yield tenants.source_problem(placed, ("source", "url"), f"the host keys of {host} are unknown", remedy)


def rsa_only_servers(tenants: TenantList, mirrors: Sequence[Mirror]) -> Iterator[Problem]:
    """Sources on servers that refuse the kind of deploy keys made here."""
    for placed in tenants.sources:
        found = location(placed.source, mirrors, "github's")
        host, _ = ssh_address(found.url)
        if placed.source.private and found.url.startswith("ssh://") and rsa_only(host):
            yield tenants.source_problem(placed, ("source", "url"), rsa_message(host), RSA_REMEDY)
        elif found.url.startswith("https://git-codecommit") and rsa_only(host):
            message = "CodeCommit has no public repositories"
            yield tenants.source_problem(placed, ("source", "url"), message, RSA_REMEDY)


def unknown_infra_host(settings: Settings, file: YamlFile, mirrors: Sequence[Mirror]) -> Iterator[Problem]:
    """A mirror of the infra repository on an SSH server without known host keys."""
    found = locate(f"ssh://git@github.com/{settings.owner}/{settings.repository}", mirrors)
    host, _ = ssh_address(found.url)
    if found.url.startswith("ssh://") and host != GITHUB and not found.known_hosts:
        remedy = f"Add `knownHosts:` to the mirror with the output of `{keyscan(found.url)}`, after verifying it."
        yield file.problem(("mirrorsFile",), f"the host keys of {host} are unknown", remedy)


def without_deploy_keys(
    settings: Settings, file: YamlFile, tenants: TenantList, mirrors: Sequence[Mirror]
) -> Iterator[Problem]:
    """Repositories that Flux could not read as a GitHub App."""
    if settings.deploy_keys != "app":
        return
    url = f"https://github.com/{settings.owner}/{settings.repository}"
    if (found := locate(url, mirrors).url) != url:
        message = f"a GitHub App reads from GitHub only, and a mirror has the infra repository at {found}"
        yield file.problem(("deployKeys",), message, "Write deployKeys: keys, or take the mirror out.")
    for placed in tenants.sources:
        if placed.source.app_url and (finding := _unreadable_by_app(placed, settings, mirrors)):
            yield tenants.source_problem(placed, ("source", "url"), *finding)
    for name, product in tenants.products.items():
        if product.source.app_url and product.written_by(settings.cluster):
            message = "image automation pushes with a deploy key, and deployKeys: app makes none"
            remedy = "Let the organization have deploy keys and write deployKeys: keys, or remove the automation."
            yield tenants.inheritance.file.problem(("products", name, "automation"), message, remedy)


def _unreadable_by_app(placed: PlacedSource, settings: Settings, mirrors: Sequence[Mirror]) -> tuple[str, str] | None:
    """Message and remedy for a private repository on GitHub that the stack's App does not read."""
    url, (owner, _) = placed.source.app_url or "", placed.source.github_repository or ("", "")
    others = (
        "Let the organization have deploy keys and write deployKeys: keys, or move the repository to another server."
    )
    if not placed.shared:
        remedy = (
            "The App's key opens more than this repository, and a tenant could read it in its namespace. Write the "
            f"repository below `products:` and `product:` here: the platform's own namespace has the key then. {others}"
        )
        return "a tenant's private repository on GitHub needs a deploy key, and deployKeys: app makes none", remedy
    if owner != settings.owner:
        return f"githubApp is installed for {settings.owner}, and this is a repository of {owner}", others
    if (found := locate(url, mirrors).url) != url:
        message = f"a GitHub App reads from GitHub only, and a mirror has this repository at {found}"
        return message, "Write deployKeys: keys, or take the mirror out."
    return None


def users(tenants: TenantList, settings: IdentitySettings | None) -> Iterator[Problem]:
    """User pools and app clients of tenants that the stack cannot create."""
    for index, tenant in enumerate(tenants.tenants):
        if settings is None:
            if tenant.identity != "group":
                message = f"a {tenant.identity} needs a stack with a user pool, and this stack has none"
                remedy = "Add `identity:` to saas-in-eks:aws in the stack's configuration, or remove it here."
                yield tenants.problem(index, ("identity",), message, remedy)
        elif tenant.identity == "pool" and (message := _domain_error(tenant_domain(settings, tenant.name))):
            remedy = "Choose client or group here, or another `domain` in the stack's configuration."
            yield tenants.problem(index, ("identity",), message, remedy)


def _domain_error(domain: str) -> str | None:
    if len(domain) > MAXIMUM_DOMAIN:
        return f"the pool's domain {domain} would be longer than Cognito's {MAXIMUM_DOMAIN} characters"
    if reserved := re.search("aws|amazon|cognito", domain):
        return f"the pool's domain {domain} would contain {reserved[0]!r}, which Cognito reserves"
    return None


def cluster_reaching_rules(tenants: TenantList, cluster: ClusterAddresses) -> Iterator[Problem]:
    """Tenants' egress rules that reach into the cluster without `insideCluster: true`."""
    for index, tenant in enumerate(tenants.tenants):
        for path, message, remedy in cluster_reaching(tenant.network, cluster):
            yield tenants.problem(index, ("network", *path), message, remedy)


def unknown_public_subnets(tenants: TenantList, cluster: ClusterAddresses) -> Iterator[Problem]:
    """Load balancers in public subnets that the stack does not create."""
    for index, tenant in enumerate(tenants.tenants):
        if PUBLIC_SUBNETS in tenant.network.load_balancers and not cluster.public_subnets:
            message = "the public subnets are unknown: this stack creates none"
            remedy = "Write their networks, such as 10.0.224.0/19."
            place = tenant.network.load_balancers.index(PUBLIC_SUBNETS)
            yield tenants.problem(index, ("network", "loadBalancers", place), message, remedy)


def aws_access(tenants: TenantList, account: str | None) -> Iterator[Problem]:
    """Tenants' AWS permissions beyond their own resources; `account` is None for a stack without AWS."""
    names = [tenant.name for tenant in tenants.tenants]
    for index, tenant in enumerate(tenants.tenants):
        if tenant.aws is not None:
            others = [name for name in names if name != tenant.name]
            for path, message, remedy in _access_findings(tenant.aws, tenant.name, others, account):
                yield tenants.problem(index, ("aws", *path), message, remedy)


def _access_findings(access: AwsAccess, tenant: str, others: Sequence[str], account: str | None) -> Iterator[Finding]:
    if account is None:
        yield (), "this stack has no AWS account", "Add saas-in-eks:aws to its configuration, or remove aws here."
    if not access.statements and not access.policies:
        yield (), "a role without permissions has no use", "Add statements, or write `aws: null` for no role."
    first: dict[Any, int] = {}
    for index, statement in enumerate(access.statements):
        path: YamlPath = ("statements", index)
        broad = list(_broad(statement, tenant, others, account))
        if not statement.justification:
            yield from (((*path, *inner), message, remedy) for inner, message, remedy in broad)
        elif not broad:
            message = "this statement needs no justification"
            yield (*path, "justification"), message, "Remove it: it would widen the permissions boundary."
        if (meaning := _meaning(statement)) in first:
            yield path, f"this repeats statement {first[meaning] + 1}", "Keep only one of them."
        first.setdefault(meaning, index)
    yield from _policy_findings(access, account)
    if (size := compact_size(inline_policy(access, tenant))) > INLINE_LIMIT:
        message = f"the statements are {size} characters as a policy, and IAM's limit is {INLINE_LIMIT}"
        yield ("statements",), message, "Merge statements, or use wildcards after the tenant's name."


def _policy_findings(access: AwsAccess, account: str | None) -> Iterator[Finding]:
    arns = [policy.arn for policy in access.policies]
    for index, arn in enumerate(arns):
        owner = arn.split(":")[4]
        if owner != "aws" and account and owner != account:
            message = f"{arn} belongs to another account than {account}"
            yield ("policies", index, "arn"), message, "Use a policy of AWS or of the stack's account."
        if arn in arns[:index]:
            yield ("policies", index), f"{arn} is listed twice", "Keep only one of them."
    if len(arns) > ATTACHMENT_LIMIT:
        message = f"a role can have at most {ATTACHMENT_LIMIT} managed policies"
        yield ("policies",), message, "Write statements for what the product needs."


def _broad(statement: AwsStatement, tenant: str, others: Sequence[str], account: str | None) -> Iterator[Finding]:
    """Access beyond the tenant's own resources, which needs a justification.

    Messages quote resources as they are written, so that a problem of the defaults is reported once, not per tenant.
    """
    for index, action in enumerate(statement.actions):
        if action.partition(":")[2][0] in "*?":
            yield ("actions", index), f"{action} permits every action of the service", BROAD_REMEDY
    limited = _limited(statement, tenant)
    for index, written in enumerate(statement.resources):
        if error := _resource_error(_resolved(written, tenant), tenant, others, account, limited):
            message, remedy = error
            yield ("resources", index), f"{written} {message}", remedy


def _resource_error(
    arn: str, tenant: str, others: Sequence[str], account: str | None, limited: bool
) -> tuple[str, str] | None:
    if arn == "*":
        return "includes the resources of all tenants", BROAD_REMEDY
    owner, name = arn.split(":", 5)[4:]
    if owner and account and owner != account:
        return f"belongs to another account than {account}", f"Name a resource of the stack's account. {BROAD_REMEDY}"
    if other := next((other for other in others if _reaches(name, tenant, other)), None):
        return f"includes resources of the tenant {other}", BROAD_REMEDY
    if limited:
        return None
    service = arn.split(":")[2]
    if any(_covers(pattern, arn) for pattern in ambiguous_names(service, tenant)):
        # The boundary denies it, since IAM's wildcards cannot tell in whose folder the name is.
        remedy = f"Name a bucket after the tenant, or write {PLACEHOLDER} as the first folder and nowhere else. "
        return "has the tenant's name where it could be in another tenant's folder", remedy + BROAD_REMEDY
    if not _names(arn, tenant):
        shapes = own_names(service, PLACEHOLDER) or (f"…:{PLACEHOLDER}-…", f"…/{PLACEHOLDER}/…")
        remedy = f"Write {PLACEHOLDER} in it, as in {shapes[0]} or {shapes[-1]}, or limit it by a condition. "
        return "does not contain the tenant's name", remedy + BROAD_REMEDY
    if re.search(r"[*?]", name[: name.index(tenant)]):
        return "has a wildcard before the tenant's name", f"Use wildcards only after it. {BROAD_REMEDY}"
    return None


def _names(arn: str, tenant: str) -> bool:
    """Whether every resource that an ARN pattern matches belongs to the tenant by its name."""
    fields = arn.split(":", 5)
    if patterns := own_names(fields[2], tenant):
        return any(_covers(pattern, arn) for pattern in patterns)
    parts = re.split("[/:]", fields[5])
    return any(part == tenant or part.startswith(f"{tenant}-") or part.endswith(f"-{tenant}") for part in parts)


def _covers(pattern: str, arn: str) -> bool:
    """Whether a pattern matches everything that another pattern matches."""
    # Wildcards cross no colon in the fields before the resource.
    *fields, resource = pattern.split(":", 5)
    *given, name = arn.split(":", 5)
    matching = all(field in ("*", value) for field, value in zip(fields, given, strict=True))
    return matching and _glob(resource, name)


def _reaches(name: str, tenant: str, other: str) -> bool:
    """Whether a resource's name contains another tenant's name, or a wildcard in it matches one that does."""
    bounded = r"(?<![A-Za-z0-9]){}(?![A-Za-z0-9])"
    # The name of a tenant shop-eu does not count as the name of another tenant shop.
    without = re.sub(bounded.format(re.escape(tenant)), "\0", name) if other in tenant else name
    if re.search(bounded.format(re.escape(other)), without):
        return True
    return tenant in name and _glob(name, name.replace(tenant, other))


def _glob(pattern: str, text: str) -> bool:
    """Match IAM's wildcards, which cross slashes. A wildcard in the text is an ordinary character."""
    expression = "".join({"*": ".*", "?": "[^*]"}.get(character, re.escape(character)) for character in pattern)
    return re.fullmatch(expression, text) is not None


def _limited(statement: AwsStatement, tenant: str) -> bool:
    """Whether conditions limit the statement to the tenant's own data, whatever its resources are named."""

    def only(operators: Sequence[str], key: str, own: Callable[[str], bool]) -> bool:
        conditions = [statement.conditions.get(operator, {}).get(key, []) for operator in operators]
        return any(values and all(own(_resolved(value, tenant)) for value in values) for values in conditions)

    actions = [action.lower() for action in statement.actions]
    exact, similar = ["StringEquals"], ["StringEquals", "StringLike"]
    tag, context = f"aws:ResourceTag/{TENANT_TAG}", f"kms:EncryptionContext:{TENANT_TAG}"
    if only(exact, tag, lambda value: value == tenant) or only(exact, context, lambda value: value == tenant):
        return True
    if all(action in ("s3:listbucket", "s3:listbucketversions") for action in actions):
        return only(similar, "s3:prefix", lambda value: value.startswith(f"{tenant}/"))
    if all(action.startswith("dynamodb:") for action in actions):
        key, operators = "dynamodb:LeadingKeys", [f"ForAllValues:{operator}" for operator in similar]
        # ForAllValues also holds for requests without any keys, such as scans.
        has_keys = statement.conditions.get("Null", {}).get(key) == ["false"]
        return has_keys and only(operators, key, lambda value: value == tenant or value.startswith(f"{tenant}#"))
    return False


def _meaning(statement: AwsStatement) -> Any:
    """A key that equal statements share, whatever their order and notation."""
    conditions = json.dumps(statement.conditions, sort_keys=True)
    return frozenset(map(str.lower, statement.actions)), frozenset(statement.resources), conditions


def _resolved(text: str, tenant: str) -> str:
    return text.replace(PLACEHOLDER, tenant).replace(OWN, tenant)


def notification_rules(
    settings: Settings, file: YamlFile, tenants: TenantList, secret: Callable[[str], tuple[str | None, bool]]
) -> Iterator[Problem]:
    """Notifications without their controller, of no use, or with a secret that is missing, malformed or another's.

    `secret` looks a value of the stack's configuration up by its key, and says whether it is encrypted.
    """
    readers: dict[str, str] = {}
    for entry, problem, tenant in _notifications(settings, file, tenants):
        if NOTIFIER not in settings.flux_components:
            yield problem((), f"notifications need {NOTIFIER}", f"Add {NOTIFIER} to fluxComponents.")
        # Only a tenant with a source of its own has the Secret in its namespace, where its product can read it.
        reader = tenant.name if tenant and tenant.source else ""
        value, encrypted = secret(entry.secret)
        if entry.secret in (*keys(), GITHUB_APP_KEY):
            yield problem(("secret",), f"{entry.secret} is a key of the program's own", "Choose another name.")
        elif readers.setdefault(entry.secret, reader) != reader:
            users = " and ".join(name or "the platform" for name in (readers[entry.secret], reader))
            yield problem(("secret",), f"{users} would share {entry.secret}", "Give each a secret of its own.")
        elif error := secret_error(entry, value, encrypted=encrypted):
            yield problem(("secret",), *error)
        if tenant and tenant.product and entry.type == "github":
            message = "one commit of a shared product would get a status of each tenant"
            yield problem(("type",), message, f"Move it to `notify` of the product {tenant.product}.")
        elif tenant and tenant.product and entry.severity == "info":
            message = "a tenant of a shared product is notified of failures only"
            yield problem(("severity",), message, f"Remove it, or add it to `notify` of the product {tenant.product}.")


NamedProblem = Callable[[YamlPath, str, str], Problem]


def _notifications(
    settings: Settings, file: YamlFile, tenants: TenantList
) -> Iterator[tuple[Notification, NamedProblem, Tenant | None]]:
    """Every notification, what makes a problem of a path in it, and its tenant."""
    products = tenants.content.products
    for place, entry in enumerate(settings.notifications):
        yield entry, partial(_problem_in, file, ("notifications", place)), None
    for name, product in products.items():
        for place, entry in enumerate(product.notify):
            yield entry, partial(_problem_in, tenants.inheritance.file, ("products", name, "notify", place)), None
    for index, tenant in enumerate(tenants.tenants):
        for place, entry in enumerate(tenant.notify):
            path = tenants.inheritance.source_path(("tenants", index, "notify"))
            yield entry, partial(_problem_in, tenants.inheritance.file, (*path, place)), tenant


def _problem_in(file: YamlFile, holder: YamlPath, path: YamlPath, message: str, remedy: str) -> Problem:
    return file.problem((*holder, *path), message, remedy)


def statuses_elsewhere(tenants: TenantList) -> Iterator[Problem]:
    """Statuses of commits of sources that are not on GitHub."""
    for placed in tenants.sources:
        holder = tenants.content.products[placed.holder] if placed.shared else tenants.tenants[int(placed.path[1])]
        for place, entry in enumerate(holder.notify):
            if entry.type == "github" and placed.source.github_repository is None:
                message = "only commits on GitHub get statuses, and the source is elsewhere"
                path = (*placed.path, "notify", place, "type")
                yield tenants.inheritance.file.problem(path, message, "Choose another type, such as generic.")
