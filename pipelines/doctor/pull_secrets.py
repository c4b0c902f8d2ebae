"""The Secrets with registry credentials that pods have: the recipe's, else their service account's."""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .accounts import account_of
from .case import Case
from .cluster import NotTried
from .finding import Finding
from .registry import Login, registry_of

_CHECK = "pull secrets"
_KEYS = {"kubernetes.io/dockerconfigjson": ".dockerconfigjson", "kubernetes.io/dockercfg": ".dockercfg"}

Logins = Mapping[str, Login | None]
"""Credentials by registry; None: it is named, and its credentials are of a kind that only nodes use."""


def pull_secrets(case: Case) -> tuple[list[Finding], list[Logins | None]]:
    """What there is to say of the pull secrets, and the credentials of each; None where they may not be looked at.

    Kubernetes takes the service account's only where a pod names none.
    """
    setting = "cluster.image_pull_secrets"
    if names := case.needs.cluster.image_pull_secrets:
        read = [_pull_secret(case, name) for name in names]
        return [finding for finding, _ in read], [logins for _, logins in read]
    try:
        account, names = _of_account(case)
    except NotTried as reason:
        return [Finding(_CHECK, "not known", setting, f"the recipe names none; {reason}")], []
    if not names:
        found = f"neither the recipe nor service account {account} names any"
        return [Finding(_CHECK, "not needed", setting, found)], []
    read = [_pull_secret(case, name) for name in names]
    # Clusters give accounts Secrets that few may read, and images may need none of them.
    findings = [replace(each, state="not known") if each.state == "not tried" else each for each, _ in read]
    return findings, [logins for _, logins in read]


def _of_account(case: Case) -> tuple[str, tuple[str, ...]]:
    """The pods' service account, and the pull secrets that it names."""
    name, cluster = account_of(case), case.home
    read = cluster.core.read_namespaced_service_account
    account = cluster.read(f"service account {name}", read, name, cluster.namespace)
    return name, tuple(each.name for each in (account.image_pull_secrets if account else None) or ())


def _pull_secret(case: Case, name: str) -> tuple[Finding, Logins | None]:
    """What there is to say of a pull secret, and its credentials; None where they may not be looked at."""
    try:
        cluster = case.home
        tried = f"secret {name} in {cluster.namespace}"
        secret = cluster.read(tried, cluster.core.read_namespaced_secret, name, cluster.namespace)
    except NotTried as reason:
        return Finding(_CHECK, "not tried", f"secret {name}", str(reason), reason.advice), None
    create = f"kubectl create secret docker-registry {name} -n {cluster.namespace} --docker-server=…"
    if secret is None:
        return Finding(_CHECK, "failed", tried, "there is no such secret", create), {}
    if secret.type not in _KEYS:
        found = f"its type is {secret.type}, not {' or '.join(_KEYS)}"
        return Finding(_CHECK, "failed", tried, found, create), {}
    logins = _logins(secret)
    if not logins:
        return Finding(_CHECK, "failed", tried, f"no registry in its {_KEYS[secret.type]}", create), {}
    return Finding(_CHECK, "ok", tried, f"for {', '.join(sorted(logins))}"), logins


def _logins(secret: Any) -> Logins:
    """The credentials in a pull secret, as kubectl writes them today and as it did before Kubernetes 1.0."""
    try:
        data = json.loads(base64.b64decode((secret.data or {})[_KEYS[secret.type]]))
        entries = data["auths"] if secret.type.endswith("json") else data
        return {registry_of(server): _login(entry) for server, entry in entries.items()}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}


def _login(entry: Mapping[str, str]) -> Login | None:
    if entry.get("username"):
        return Login(entry["username"], entry.get("password", ""))
    try:
        user, colon, password = base64.b64decode(entry.get("auth", ""), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return Login(user, password) if colon else None
