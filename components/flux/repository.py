"""GitHub: its providers, and the platform team's infra repository."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_github as github

from components.configuration import Configuration
from model.config.stack import Settings
from model.config.tenants import TenantList


def github_providers(settings: Settings, tenants: TenantList) -> dict[str, github.Provider]:
    """A provider for each owner of a repository that gets a deploy key or a webhook, and for the infra repository's.

    The token comes from the environment (GITHUB_TOKEN), as the provider reads it. The state holds it encrypted.
    """
    products = {
        placed.source.github_repository[0]
        for placed in tenants.sources
        if placed.source.private and placed.source.github_repository
    }
    hooked = {
        product.source.github_repository[0]
        for product in tenants.products.values()
        if settings.webhooks and product.wants_github_hook and product.source.github_repository
    }
    infra = set[str]() if settings.is_shard else {settings.owner}
    owners = sorted(infra | products | hooked)
    return {name: github.Provider(f"github-{name}", owner=name) for name in owners}


CHOSEN_BY_ITS_OWNERS = (
    *(
        "allowAutoMerge",
        "allowForking",
        "allowMergeCommit",
        "allowRebaseMerge",
        "allowSquashMerge",
        "allowUpdateBranch",
    ),
    *("archived", "autoInit", "defaultBranch", "deleteBranchOnMerge", "description", "fork", "gitignoreTemplate"),
    *("hasDiscussions", "hasDownloads", "hasIssues", "hasProjects", "hasWiki", "homepageUrl", "isTemplate"),
    *("licenseTemplate", "mergeCommitMessage", "mergeCommitTitle", "pages", "securityAndAnalysis", "sourceOwner"),
    *("sourceRepo", "squashMergeCommitMessage", "squashMergeCommitTitle", "template", "topics", "vulnerabilityAlerts"),
    "webCommitSignoffRequired",
)
"""Settings of the repository that people may change on GitHub: only its name and visibility are the stack's.

The provider switches off, or sets back to GitHub's default, what a program does not mention.
"""


@dataclass(frozen=True)
class InfraRepositoryArgs:
    """The repository on GitHub."""

    configuration: Configuration
    provider: github.Provider


class InfraRepository(pulumi.ComponentResource):
    """Infra repository: created if missing, adopted if it exists, never deleted, not even by `pulumi destroy`."""

    repository_name: pulumi.Output[str]
    html_url: pulumi.Output[str]
    repository: github.Repository
    provider: github.Provider
    ready: pulumi.Resource
    """The repository with all files so far, for `depends_on`."""

    def __init__(self, name: str, args: InfraRepositoryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("saas:repository:InfraRepository", name, None, opts)
        self.provider = args.provider
        settings = args.configuration.settings
        self._branch, repository = settings.branch, settings.repository
        full_name = f"{settings.owner}/{repository}"
        existing = github.get_repository(full_name=full_name, opts=pulumi.InvokeOptions(provider=args.provider))
        adopted = bool(existing.node_id)  # a missing repository is not an error, it has no id
        if adopted and existing.visibility == "public":
            raise pulumi.RunError(
                f"github.com/{full_name} is public. Make it private: it describes the whole platform."
            )
        if adopted and existing.archived:
            raise pulumi.RunError(
                f"github.com/{full_name} is archived, so nothing can be committed to it: unarchive it."
            )
        if adopted and existing.default_branch != self._branch:
            raise pulumi.RunError(
                f"The default branch of github.com/{full_name} is {existing.default_branch}, not {self._branch}. "
                f"Set this stack's `branch` to it, or rename it on GitHub."
            )
        self._refuse_to_move(existing, args)
        self.repository = github.Repository(
            repository,
            name=repository,
            description="Clusters of the SaaS platform, watched by Flux",
            visibility="private",
            auto_init=True,
            opts=pulumi.ResourceOptions(
                parent=self,
                provider=args.provider,
                import_=repository if adopted else None,
                ignore_changes=list(CHOSEN_BY_ITS_OWNERS),
                retain_on_delete=True,
            ),
        )
        self.ready = self.repository
        self.repository_name = self.repository.name
        self.html_url = self.repository.html_url
        self.register_outputs({"htmlUrl": self.html_url})

    @staticmethod
    def _refuse_to_move(existing: github.GetRepositoryResult, args: InfraRepositoryArgs) -> None:
        """Raise pulumi.RunError for another owner, unless the repository was transferred or its owner renamed.

        The owner is in the provider only: the engine would take another owner's repository for this one.
        """
        settings = args.configuration.settings
        former = str(args.configuration.earlier.get("infraRepository", "")).removeprefix("https://github.com/")
        owner, _, name = former.partition("/")
        if not name or name != settings.repository or owner.lower() == settings.owner.lower():
            return
        now = f"{settings.owner}/{name}"
        before = github.get_repository(full_name=former, opts=pulumi.InvokeOptions(provider=args.provider))
        # GitHub answers for a transferred repository under its former name too.
        if not existing.node_id or (before.node_id and before.node_id != existing.node_id):
            raise pulumi.RunError(
                f"The infra repository is github.com/{former}, not github.com/{now}. Write `owner: {owner}` again, or "
                "transfer the repository on GitHub first."
            )

    def add_file(self, path: str, content: str, message: str) -> None:
        """Commit a file, after those before: GitHub refuses a commit to a branch that has moved meanwhile."""
        self.ready = github.RepositoryFile(
            path,
            repository=self.repository.name,
            branch=self._branch,
            file=path,
            content=content,
            commit_message=message,
            overwrite_on_create=True,
            opts=pulumi.ResourceOptions(parent=self, provider=self.provider, depends_on=[self.ready]),
        )
