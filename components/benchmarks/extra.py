"""The extra `benchmarks`: what benchmarks import that the steps do not need otherwise."""

from importlib.util import find_spec

from ..core.errors import UserError


def require_extra(kind: str, *modules: str) -> None:
    """Raise if a benchmark of a kind cannot import its modules.

    Raises:
        UserError: one is not installed; names it and the extra.
    """
    if missing := [module for module in modules if not find_spec(module)]:
        raise UserError(
            f"benchmark {kind}: {missing[0]} is not installed here: install nashflow[benchmarks], or leave the "
            "benchmark out"
        )
