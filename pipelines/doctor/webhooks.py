"""The webhooks that a recipe tells how its runs end; nothing is sent to them."""

from collections.abc import Iterator

from ..webhooks import missing_on_cluster
from .case import Case
from .finding import Finding


def webhooks(case: Case) -> Iterator[Finding]:
    """Whether the steps' environment has the variables that hold the webhooks' addresses."""
    wanted = case.needs.notifications.webhooks
    if not wanted:
        yield Finding("webhooks", "not needed", "notifications.webhooks", "the recipe names none")
        return
    names = sorted({webhook.url_variable for webhook in wanted})
    tried = f"cluster.secrets for {', '.join(names)}"
    if missing := missing_on_cluster(case.needs):
        advice = f"name in cluster.secrets a Secret with a key for {missing[0]}, or leave the webhook out"
        found = f"no Secret gives the steps {', '.join(missing)}, so nobody would be told there"
        yield Finding("webhooks", "failed", tried, found, advice)
        return
    yield Finding("webhooks", "ok", tried, "all there; nothing was sent")
