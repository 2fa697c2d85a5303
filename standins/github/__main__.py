"""Stand-in for pulumi-resource-github, on the embedded Git server's repositories. Run as `python -m standins.github`.

It follows the official provider (the bridge to terraform-provider-github) where a program can see it: names, defaults,
ids, replacement or update, and refusals in GitHub's words. There is no API between it and the repositories: it works on
the same folder as the Git server (store.py), which GITHUB_BASE_URL names as a file:// URL, and needs no token. Types,
functions and properties it has no mapping for are errors.
"""

from __future__ import annotations

if __name__ == "__main__":
    import standins.without_sdk  # noqa: F401 - before anything else: see there

# isort: split
import os
from collections.abc import Iterable

from standins.github.content import Branch, BranchDefault, RepositoryDeployKey, RepositoryFile
from standins.github.repository import Account, Repository
from standins.github.webhook import RepositoryWebhook
from standins.provider import StandIn, Values, serve

VERSION = "6.15.0"
_GITHUB = "https://api.github.com/"
_CONFIG = {"baseUrl", "token", "owner", "organization", "version", "pluginDownloadURL"}
_HARMLESS = {
    *("cachePath", "insecure", "legacyClient", "maxPerPage", "maxRetries", "parallelRequests"),
    *("readDelayMs", "retryDelayMs", "retryableErrors", "writeDelayMs"),
}
"""Configuration about how politely to talk to github.com, which makes no difference here."""


def stand_in() -> StandIn:
    account = Account()

    def check_config(values: Values) -> Iterable[tuple[str, str]]:
        for name in values:
            if name not in _CONFIG | _HARMLESS:
                yield name, f"the github stand-in has no mapping for the provider's {name}: leave it out"

    def configure(values: Values) -> None:
        # The SDK fills in github.com where the program gives no URL; the environment decides then.
        url = values.get("baseUrl")
        if not url or url == _GITHUB:
            url = os.environ.get("GITHUB_BASE_URL") or _GITHUB
        owner = values.get("owner") or values.get("organization") or os.environ.get("GITHUB_OWNER", "")
        account.open(url, owner)

    kinds = (Repository, RepositoryFile, RepositoryDeployKey, RepositoryWebhook, Branch, BranchDefault)
    return StandIn(
        "github",
        VERSION,
        "on the embedded Git server",
        kinds={kind.token: kind(account) for kind in kinds},
        functions={
            "github:index/getRepository:getRepository": account.get_repository,
            "github:index/getBranch:getBranch": account.get_branch,
            "github:index/getRestApi:getRestApi": account.get_rest_api,
        },
        configure=configure,
        check_config=check_config,
    )


if __name__ == "__main__":
    serve(stand_in())
