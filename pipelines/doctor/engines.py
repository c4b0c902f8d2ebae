"""The engines that the recipe names."""

from collections.abc import Iterator

from .case import Case
from .finding import Finding


def engines(case: Case) -> Iterator[Finding]:
    """The recipe's engines for sampling, scoring and training, in this version."""
    recipe = case.needs
    tried = ", ".join(f"{setting} {engine.kind}" for setting, engine in recipe.engines.items())
    for line in recipe.unavailable:
        found, _, advice = line.partition("; ")
        yield Finding("engines", "failed", tried, found, advice)
    if not recipe.unavailable:
        yield Finding("engines", "ok", tried, "all there")
