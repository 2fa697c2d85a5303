"""GitHub stand-in: RepositoryWebhook."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from standins.github import store
from standins.github.content import FORCES, InRepository
from standins.github.repository import etag
from standins.provider import Property, RefusedError, Values

HIDDEN = "********"
"""GitHub's answer in place of a secret."""
_FORMS = ("json", "form")


class RepositoryWebhook(InRepository):
    """A webhook of a repository. Its secret is never read back: a state keeps the program's."""

    token = "github:index/repositoryWebhook:RepositoryWebhook"  # noqa: S105 - a type's name
    properties = {
        "repository": FORCES,
        "events": Property(list, of=str, required=True, unordered=True),
        "active": Property(bool, default=True),
        "configuration": Property(
            dict,
            of={
                "url": Property(required=True),
                "contentType": Property(),
                "insecureSsl": Property(bool, default=False),
                "secret": Property(),
            },
        ),
        "etag": Property(ignored=True, computed=True),
    }
    outputs = ("url",)

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        configuration = inputs.get("configuration")
        form = configuration.get("contentType") if isinstance(configuration, dict) else None
        if isinstance(form, str) and form not in _FORMS:
            yield "configuration.contentType", f"{form!r} is not a content type of webhooks: write json or form"

    def create(self, inputs: Values) -> tuple[str, Values]:
        repository = self.account.repository(inputs["repository"], writing=True)
        made = self._save(repository, store.Webhook(0, True, (), {}, store.now(), ""), inputs)
        return str(made.id), self._state(inputs, made)

    def update(self, identifier: str, state: Values, inputs: Values) -> Values:
        repository = self.account.repository(inputs["repository"], writing=True)
        hook = self._find(repository, identifier)
        if hook is None:
            raise RefusedError(f"404 Not Found: the webhook {identifier} is gone. Run `pulumi refresh`")
        return self._state(inputs, self._save(repository, hook, inputs))

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        name, _, number = identifier.rpartition("/")
        if not state and not name:
            raise RefusedError(f"{identifier!r} cannot be imported: write REPOSITORY/HOOK_ID")
        repository = self.account.find(name or state["repository"])
        hook = self._find(repository, number) if repository else None
        return None if hook is None else (number, self._state(state or {"repository": name}, hook))

    def delete(self, identifier: str, state: Values) -> None:
        repository = self.account.repository(state["repository"], writing=True)
        if not self.account.store.remove_hook(repository, int(identifier)):
            raise RefusedError(f"404 Not Found: the webhook {identifier} is gone already. Run `pulumi refresh`")

    @staticmethod
    def _find(repository: store.Repository, identifier: str) -> store.Webhook | None:
        return next((hook for hook in repository.hooks if str(hook.id) == identifier), None)

    def _save(self, repository: store.Repository, hook: store.Webhook, inputs: Values) -> store.Webhook:
        given: Values = inputs.get("configuration") or {}
        url = str(given.get("url", ""))
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise RefusedError(f"422 Validation Failed: url {url!r} is not an absolute http or https URL")
        configuration = {
            "url": url,
            "content_type": given.get("contentType") or "form",
            "insecure_ssl": "1" if given.get("insecureSsl") else "0",
            **({"secret": given["secret"]} if given.get("secret") else {}),
        }
        changed = store.Webhook(
            hook.id, inputs["active"], tuple(inputs["events"]), configuration, hook.created_at, hook.updated_at
        )
        try:
            return self.account.store.save_hook(repository, changed)
        except store.StoreError as error:
            raise RefusedError(f"422 Validation Failed [{error}]") from error

    def _state(self, known: Values, hook: store.Webhook) -> Values:
        """The state; the secret is the one that the state had, since GitHub does not tell it."""
        answer = hook.configuration
        configuration: Values = {
            "url": answer["url"],
            "contentType": answer["content_type"],
            "insecureSsl": answer["insecure_ssl"] == "1",
        }
        if "secret" in answer:
            configuration["secret"] = (known.get("configuration") or {}).get("secret") or HIDDEN
        state: Values = {
            "repository": known["repository"],
            "events": list(hook.events),
            "active": hook.active,
            "configuration": configuration,
            "url": f"https://api.github.com/repos/{self.account.owner}/{known['repository']}/hooks/{hook.id}",
        }
        return {**state, "etag": etag({**state, "updated": hook.updated_at})}
