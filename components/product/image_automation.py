"""Image automation of a product: Flux commits new versions of its images to its repository, from one stack only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_github as github
import pulumi_kubernetes as kubernetes
import pulumi_tls as tls

from components.aws.registry import Registry
from components.cluster import Cluster
from components.configuration import Configuration
from components.flux.deploy_key import DeployKey, SourceKeyArgs, source_key
from components.flux.installation import FluxInstallation
from components.objects import KubernetesObject
from components.product.space import ProductSpace
from model.config.images import Automation, ProductImage
from model.config.keys import by_hand, generation, numbered
from model.config.mirrors import Mirror, locate_image
from model.config.names import IMAGE_SCANNER, IMAGE_WRITER, product_namespace
from model.config.sources import location
from model.config.stack import Settings
from model.kubernetes import image_automation as objects
from model.kubernetes.manifests import Manifest
from model.kubernetes.products import product_labels


@dataclass(frozen=True)
class ImageAutomationArgs:
    """The product's space, and its part of the platform."""

    space: ProductSpace
    settings: Settings
    mirrors: Sequence[Mirror]
    repository_urls: Mapping[str, pulumi.Input[str]]
    """The stack's own registry: image references without their tags, by repository."""
    provider: kubernetes.Provider
    github_providers: Mapping[str, github.Provider]
    controllers: Mapping[str, pulumi.Resource]
    """Flux's. The image controllers have to finalize what they reconcile, also if they go in the same update."""


class ImageAutomation(pulumi.ComponentResource):
    """Images to scan, and the commits of their newest versions, pushed with a key of their own and signed with another.

    Everything is in the product's namespace, where no tenant has rights.
    """

    signing_key: pulumi.Output[str]
    """The public part of the key that signs the commits, for who verifies them."""
    public_key: pulumi.Output[str] | None
    """Deploy key with write access that the owner of a repository elsewhere than on GitHub has to register."""
    key: DeployKey | None

    def __init__(
        self, name: str, automation: Automation, args: ImageAutomationArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("saas:product:ImageAutomation", name, None, opts)
        own, product = args.space.name, args.space.product
        before = [args.space.namespace, args.controllers[IMAGE_SCANNER], args.controllers[IMAGE_WRITER]]
        source_location = location(product.source, args.mirrors, args.settings.github_known_hosts)
        key = self.key = source_key(
            f"{name}/write",
            SourceKeyArgs(
                source=product.source,
                holder=product,
                location=source_location,
                settings=args.settings,
                namespace=product_namespace(own),
                secret=objects.write_name(own),
                labels=product_labels(own),
                kubernetes_provider=args.provider,
                github_providers=args.github_providers,
                depends_on=before,
                read_only=False,
            ),
            pulumi.ResourceOptions(parent=self),
        )
        signing = tls.PrivateKey(
            numbered(f"{name}/signing", generation(args.settings.key_generation, product)),
            algorithm="ECDSA",
            ecdsa_curve="P384",
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.signing_key = signing.public_key_openssh.apply(str.strip)

        def child(logical: str, manifest: Manifest, depends_on: Sequence[pulumi.Resource]) -> KubernetesObject:
            opts = pulumi.ResourceOptions(parent=self, provider=args.provider, depends_on=list(depends_on))
            return KubernetesObject(logical, manifest, opts)

        pem = pulumi.Output.secret(signing.private_key_pem_pkcs8)
        signer = child(f"{name}/signing", objects.signing_secret(own, pem), before)
        source = child(
            f"{name}/write",
            objects.git_repository(own, product, source_location),
            [*before, *([key.ready] if key else [])],
        )
        update = child(name, objects.image_update_automation(own, product, automation), [*before, source, signer])
        for image_key, image in product.images.items():
            reference, insecure = _reference(image, args)
            repository = objects.image_repository(
                own, image_key, reference, automation.interval, ecr=image.on_ecr, insecure=insecure
            )
            scanned = child(f"{name}/{image_key}", repository, before)
            # After the automation: another version must not be written by the settings before, such as to their branch.
            policy = objects.image_policy(own, image_key, image, automation.hold)
            child(f"{name}/{image_key}", policy, [scanned, update])
        self.public_key = key.public_key if key and by_hand(product.source) else None
        self.register_outputs({"signingKey": self.signing_key})


def create_image_automations(
    configuration: Configuration,
    cluster: Cluster,
    flux: FluxInstallation,
    products: Mapping[str, ProductSpace],
    registry: Registry | None,
    github_providers: Mapping[str, github.Provider],
) -> Mapping[str, ImageAutomation]:
    """The image automations that this stack writes, by their products' names."""
    return {
        name: ImageAutomation(
            f"product-{name}",
            product.automation,
            ImageAutomationArgs(
                space=products[name],
                settings=configuration.settings,
                mirrors=configuration.mirrors,
                repository_urls=registry.repository_urls if registry else {},
                provider=cluster.provider,
                github_providers=github_providers,
                controllers=flux.controllers,
            ),
        )
        for name, product in configuration.products.items()
        if product.automation and product.written_by(configuration.settings.cluster)
    }


def _reference(image: ProductImage, args: ImageAutomationArgs) -> tuple[pulumi.Input[str], bool]:
    """Where the image's tags are read from, and whether without encryption."""
    if image.in_stacks_registry:
        return args.repository_urls[image.repository], False
    found = locate_image(image.repository, args.mirrors)
    return found.image, found.insecure
