"""The platform team's infra repository."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_github as github


@dataclass(frozen=True)
class InfraRepositoryArgs:
    """Where the repository is."""

    owner: str
    name: str
    branch: str
    provider: github.Provider


class InfraRepository(pulumi.ComponentResource):
    """Created where it does not exist, adopted where it does, and never deleted: `pulumi destroy` leaves it."""

    repository_name: pulumi.Output[str]
    html_url: pulumi.Output[str]
    repository: github.Repository
    last_file: pulumi.Resource
    """What a further file, or whoever reads the repository, has to wait for."""

    def __init__(self, name: str, args: InfraRepositoryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("saas:repository:InfraRepository", name, None, opts)
        self._args = args
        full_name = f"{args.owner}/{args.name}"
        existing = github.get_repository(full_name=full_name, opts=pulumi.InvokeOptions(provider=args.provider))
        adopted = bool(existing.node_id)  # a repository that is missing is no error, and has no id
        if adopted and existing.visibility == "public":
            raise pulumi.RunError(
                f"github.com/{full_name} is public. Make it private: it describes the whole platform."
            )
        if adopted and existing.default_branch != args.branch:
            raise pulumi.RunError(
                f"The default branch of github.com/{full_name} is {existing.default_branch}, not {args.branch}. "
                f"Set this stack's `branch` to it, or rename it on GitHub."
            )
        self.repository = github.Repository(
            args.name,
            name=args.name,
            description="Clusters of the SaaS platform, watched by Flux",
            visibility="private",
            auto_init=True,
            opts=pulumi.ResourceOptions(
                parent=self,
                provider=args.provider,
                import_=args.name if adopted else None,
                # Whoever owned it before may have chosen otherwise; only its name and visibility are ours.
                ignore_changes=["autoInit", "description"],
                retain_on_delete=True,
            ),
        )
        self.last_file = self.repository
        self.repository_name = self.repository.name
        self.html_url = self.repository.html_url
        self.register_outputs({"htmlUrl": self.html_url})

    def add_file(self, path: str, content: str, message: str) -> None:
        """Commit a file. One after the other: GitHub refuses a commit to a branch that moved meanwhile."""
        self.last_file = github.RepositoryFile(
            path,
            repository=self.repository.name,
            branch=self._args.branch,
            file=path,
            content=content,
            commit_message=message,
            overwrite_on_create=True,
            opts=pulumi.ResourceOptions(parent=self, provider=self._args.provider, depends_on=[self.last_file]),
        )
