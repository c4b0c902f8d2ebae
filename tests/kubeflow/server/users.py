"""Who asks, where Kubeflow has several users: tokens, and the namespaces in which each user may do anything.

By the documentation of Kubeflow Pipelines; no deployment with several users has been recorded yet.
"""

from dataclasses import dataclass, field

from ...pipelines.cluster.server import Refused

AUDIENCE = "pipelines.kubeflow.org"


@dataclass(frozen=True)
class Token:
    """A bearer token."""

    user: str
    audience: str = AUDIENCE
    """For whom it was made: the API server takes no other's."""


@dataclass
class Users:
    """Tokens, and profiles: a namespace for each, with the users that its owner has let in."""

    tokens: dict[str, Token] = field(default_factory=dict)
    profiles: dict[str, set[str]] = field(default_factory=dict)

    def check(self, token: str, namespace: str | None, what: str) -> None:
        """Let a request through.

        Raises:
            Refused: nobody known asks, no namespace is named, or the user may not do this in it.
        """
        known = self.tokens.get(token)
        if known is None or known.audience != AUDIENCE:
            raise Refused(401, "Request header error: there is no user identity header.")
        if namespace is None:
            raise Refused(400, "Invalid input error: A namespace is required in multi-user mode")
        if known.user not in self.profiles.get(namespace, ()):
            verb, _, resource = what.partition(" ")
            raise Refused(
                403,
                f"User '{known.user}' is not authorized with reason: this request needs the verb {verb} on {resource}."
                f"pipelines.kubeflow.org in namespace {namespace}: PERMISSION_DENIED",
            )
