"""A description of a recipe in one line, for Kubeflow's web interface."""

from .recipe import Recipe


def described(recipe: Recipe, first: int = 1) -> str:
    """A recipe's run from iteration `first` on: method, iterations, shards, and the account that runs it."""
    last, shards = recipe.run.iterations, recipe.prompts.shards
    parts = [
        f"{recipe.run.name}: {recipe.method.name}",
        f"iteration {first}" if first == last else f"iterations {first} to {last}",
        f"{shards} shard{'s' if shards > 1 else ''}",
    ]
    account = recipe.cluster.service_account
    return ", ".join(parts) + (f"; service account {account}" if account else "")
