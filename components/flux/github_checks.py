"""Questions to GitHub before anything is changed: whether it has the repositories, and lets them have deploy keys."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_github as github

from components.configuration import Configuration, refusal
from model.config.errors import Problem
from model.config.tenants import PlacedSource

REPOSITORY = "github:index/getRepository:getRepository"
SWITCHED_OFF = "deploy_keys_enabled_for_repositories"
"""The organization's setting; organizations created since the end of 2024 begin with false."""


def check_github(configuration: Configuration, providers: Mapping[str, github.Provider]) -> None:
    """Raise pulumi.RunError with every reason why deploy keys cannot be added.

    Where the key is in the state already, the reason is a warning: the key changes nothing any more, and one tenant's
    repository must not stop the deployments of all others.
    """
    settings, listed = configuration.settings, configuration.tenant_list
    deployed = _deployed_sources(configuration.earlier)
    by_keys = settings.deploy_keys == "keys"
    closed = {owner for owner, provider in providers.items() if by_keys and _deploy_keys_are_off(owner, provider)}
    problems: list[Problem] = []
    if settings.owner in closed and not settings.is_shard:
        message, remedy = _switched_off(settings.owner)
        problem = configuration.stack_file.problem(("owner",), message, f"{remedy} Or write deployKeys: app.")
        _report(problem, problems if deployed is None else None)
    for (owner, name), sources in _by_repository(listed.sources).items():
        new = [
            placed for placed in sources if (deployed or {}).get((placed.shared, placed.holder)) != placed.source.url
        ]

        def report(
            found: tuple[str, str] | None,
            sources: Sequence[PlacedSource] = sources,
            new: Sequence[PlacedSource] = new,
        ) -> None:
            if found:
                for placed in new or sources[:1]:  # one warning for all that share the repository
                    _report(listed.source_problem(placed, ("source", "url"), *found), problems if new else None)

        if owner in closed:
            report(_switched_off(owner))
            continue
        question = _Question(f"{owner}/{name}", providers[owner], needs_key=by_keys)
        if new:
            report(question.unusable())
        else:  # nothing waits for these answers
            pulumi.Output.from_input(question.unusable_in_time()).apply(report)
    if problems:
        raise refusal(problems)


def _by_repository(sources: Sequence[PlacedSource]) -> Mapping[tuple[str, str], list[PlacedSource]]:
    """Private repositories on GitHub, each with the sources that name it: GitHub is asked once for each."""
    found: dict[tuple[str, str], list[PlacedSource]] = {}
    for placed in sources:
        if placed.source.private and placed.source.github_repository:
            found.setdefault(placed.source.github_repository, []).append(placed)
    return found


def _report(problem: Problem, problems: list[Problem] | None) -> None:
    """Collect a problem that has to stop the deployment; warn of any other."""
    if problems is None:
        pulumi.log.warn(str(problem))
    else:
        problems.append(problem)


def _switched_off(owner: str) -> tuple[str, str]:
    setting = f"gh api --method PATCH orgs/{owner} -F {SWITCHED_OFF}=true"
    return f"the organization {owner} has deploy keys switched off", f"An owner of it switches them on: `{setting}`."


@dataclass(frozen=True)
class _Question:
    """Whether Flux can read a repository: message and remedy if not."""

    full_name: str
    provider: github.Provider
    needs_key: bool
    """Whether it gets a deploy key; otherwise a GitHub App reads it."""

    def unusable(self) -> tuple[str, str] | None:
        """The answer, before the program goes on."""
        options = pulumi.InvokeOptions(provider=self.provider)
        try:
            found = pulumi.runtime.invoke(REPOSITORY, {"fullName": self.full_name}, options)
        except Exception as error:  # the SDK has no narrower one
            return self._refused(error)
        return self._unsuitable(found.value)

    async def unusable_in_time(self) -> tuple[str, str] | None:
        """The same, while the program goes on. A failed `get_repository_output` would end the program."""
        options = pulumi.InvokeOptions(provider=self.provider)
        try:
            found = await pulumi.runtime.invoke_async(REPOSITORY, {"fullName": self.full_name}, options)
        except Exception as error:  # as above
            return self._refused(error)
        return self._unsuitable(found)

    def _refused(self, error: Exception) -> tuple[str, str]:
        remedy = "Give these credentials access to it (an organization may ask for single sign-on)."
        return f"GitHub does not tell whether github.com/{self.full_name} exists ({error})", remedy

    def _unsuitable(self, found: Mapping[str, Any]) -> tuple[str, str] | None:
        if not found.get("nodeId"):  # a missing repository is not an error, it has no id
            remedy = "Correct the URL, or select the repository in the installation of the platform's GitHub App."
            return f"github.com/{self.full_name} does not exist, or these credentials may not see it", remedy
        if found.get("archived") and self.needs_key:
            return f"github.com/{self.full_name} is archived, so it gets no deploy key", "Unarchive it on GitHub."
        return None


def _deploy_keys_are_off(owner: str, provider: github.Provider) -> bool:
    """Whether an organization forbids deploy keys. Users have no such setting, and not every token sees it."""
    try:
        answer = github.get_rest_api(endpoint=f"orgs/{owner}", opts=pulumi.InvokeOptions(provider=provider))
    except Exception as error:  # the provider fails for each answer but 200 and 404, such as 403
        pulumi.log.warn(f"Not checked whether {owner} lets its repositories have deploy keys: {error}")
        return False
    return answer.code == 200 and json.loads(answer.body).get(SWITCHED_OFF) is False


def _deployed_sources(earlier: Mapping[str, Any]) -> Mapping[tuple[bool, str], str] | None:
    """The sources after this stack's last update, by whether a product has them, and its or the tenant's name.

    None before the first update.
    """
    if "tenants" not in earlier:
        return None
    kinds: list[tuple[bool, Mapping[str, Any]]] = [(True, earlier.get("products", {})), (False, earlier["tenants"])]
    return {
        (shared, name): summary["source"]
        for shared, summaries in kinds
        for name, summary in summaries.items()
        if "source" in summary
    }
