"""Webhooks of a recipe whose addresses are nowhere to be found."""

import sys

from .recipe import Recipe


def missing_on_cluster(recipe: Recipe) -> list[str]:
    """The variables of a recipe's webhooks that no Secret or ConfigMap of `cluster` gives the steps."""
    sources = (*recipe.cluster.secrets, *recipe.cluster.config_maps)
    given = {variable for source in sources for variable in source.keys.values()}
    return sorted({webhook.url_variable for webhook in recipe.notifications.webhooks} - given)


def warn_of_webhooks(recipe: Recipe, where: str = "") -> None:
    """Print a line on stderr for each webhook that a submitted run would not reach; `where` stands before it."""
    for name in missing_on_cluster(recipe):
        advice = f"name in cluster.secrets a Secret with a key for {name}"
        print(
            f"nashflow: warning: {where}no Secret gives the steps {name}, the address of a webhook: {advice}",
            file=sys.stderr,
        )
