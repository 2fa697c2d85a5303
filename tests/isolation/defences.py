"""Defences taken away one by one, and put back: what tells whether an attack was stopped by what is said to stop it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby

from model.kubernetes.admission import POLICIES
from model.kubernetes.manifests import POD_SECURITY as POD_SECURITY_LABEL
from model.kubernetes.manifests import Manifest
from tests.isolation.actors import Actor, Answer
from tests.isolation.attack import LIMITS, POD_SECURITY, QUOTA, ROLE, Attack
from tests.isolation.objects import RBAC, make

Try = Callable[[Attack], Answer]

WAIT = 10.0
"""Seconds in which the API server has to notice a changed policy; it looks once a second."""

WARNING = re.compile(r"ValidatingAdmissionPolicy '([^']+)' with binding '[^']+': #(\d+)")
BY_NAME = {policy.name: policy for policy in POLICIES}


@dataclass(frozen=True)
class Outcome:
    """What came of an attack once what stops it was away."""

    answer: Answer
    failing: frozenset[tuple[str, int]]
    """The checks that it does not meet: each a policy and the number of one of its checks."""


def without_their_defences(administrator: Actor, attacks: Sequence[Attack], attempt: Try) -> Mapping[str, Outcome]:
    """Every attack by its name, tried while all of its defences are away, and no others.

    `attempt` is a dry run. A policy that is away still says which of its checks an attack does not meet.
    """
    found: dict[str, Outcome] = {}
    before: Attack | None = None
    ordered = sorted(attacks, key=lambda attack: attack.defences)
    for names, group in groupby(ordered, key=lambda attack: attack.defences):
        tried = list(group)
        with _away(administrator, names, sorted({attack.tenant for attack in tried})):
            _until(lambda first=tried[0]: _got_through(attempt(first)))
            if before is not None and not set(before.defences) <= set(names):
                _until(lambda last=before: not attempt(last).ok)
            for attack in tried:
                answer = attempt(attack)
                found[attack.name] = Outcome(answer, _failing(answer))
        before = tried[0]
    if before is not None:
        _until(lambda last=before: not attempt(last).ok)
    return found


def _got_through(answer: Answer) -> bool:
    by_policies = sum("ValidatingAdmissionPolicy" in one for one in answer.warnings)
    return answer.ok and by_policies == len(_failing(answer))


def _failing(answer: Answer) -> frozenset[tuple[str, int]]:
    matches = (WARNING.search(one) for one in answer.warnings)
    return frozenset((match[1], int(match[2])) for match in matches if match)


def _until(look: Callable[[], bool]) -> None:
    # Where it never is, the attack itself tells: it is asked once more.
    deadline = time.monotonic() + WAIT
    while not look() and time.monotonic() < deadline:
        time.sleep(0.05)


@contextmanager
def _away(administrator: Actor, names: Sequence[str], tenants: Sequence[str]) -> Iterator[None]:
    back: list[Callable[[], None]] = []
    try:
        for name in names:
            if name in BY_NAME:
                back.append(_policy_only_warns(administrator, name))
            else:
                back += [_REMOVED[name](administrator, tenant) for tenant in tenants]
        yield
    finally:
        for restore in back:
            restore()


def _policy_only_warns(administrator: Actor, name: str) -> Callable[[], None]:
    """The policy refuses nothing. Its warnings are the numbers of its checks."""
    policy, binding = BY_NAME[name].manifests()
    numbered = [
        {"expression": one["expression"], "message": f"#{number}"}
        for number, one in enumerate(policy["spec"]["validations"])
    ]
    administrator.apply(
        {**binding, "spec": {**binding["spec"], "validationActions": ["Warn"]}},
        {**policy, "spec": {**policy["spec"], "validations": numbered}},
    )
    return lambda: administrator.apply(policy, binding)


def _role_is_widened(administrator: Actor, tenant: str) -> Callable[[], None]:
    everywhere: Manifest = {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": f"widened-{tenant}"},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": tenant, "namespace": tenant}],
    }
    administrator.apply(everywhere)
    return lambda: _delete(administrator, everywhere)


def _object_is_gone(kind: str) -> Callable[[Actor, str], Callable[[], None]]:
    def remove(administrator: Actor, tenant: str) -> Callable[[], None]:
        one = make(kind, tenant, name="tenant")
        there = administrator.send("get", one).body
        _delete(administrator, one)
        metadata = {key: there["metadata"][key] for key in ("name", "namespace", "labels")}
        return lambda: administrator.apply({**one, "metadata": metadata, "spec": there["spec"]})

    return remove


def _pod_security_is_lowered(administrator: Actor, tenant: str) -> Callable[[], None]:
    label = f"{POD_SECURITY_LABEL}/enforce"
    namespace: Manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": tenant}}
    level = administrator.send("get", namespace).body["metadata"]["labels"][label]

    def set_to(value: str) -> None:
        changed = {**namespace, "metadata": {"name": tenant, "labels": {label: value}}}
        answer = administrator.send("merge", changed)
        assert answer.ok, answer.message

    set_to("privileged")
    return lambda: set_to(level)


def _delete(administrator: Actor, manifest: Manifest) -> None:
    answer = administrator.send("delete", manifest)
    assert answer.ok, answer.message


_REMOVED: Mapping[str, Callable[[Actor, str], Callable[[], None]]] = {
    ROLE: _role_is_widened,
    QUOTA: _object_is_gone("ResourceQuota"),
    LIMITS: _object_is_gone("LimitRange"),
    POD_SECURITY: _pod_security_is_lowered,
}
