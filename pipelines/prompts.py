"""`nashflow prompts`: what a recipe, or a file, would be read as; and a plan's line about prompts."""

import json
import os
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from nashflow.components.core.errors import UserError
from nashflow.components.preparation.reading import AsRendered, as_rendered, prompts_of, read_sets
from nashflow.components.prompts.counts import WORDS, whole
from nashflow.components.prompts.pool import Pool, Prompt
from nashflow.components.prompts.reading import Asked, read
from nashflow.components.prompts.settings import PromptSource

from .recipe import SHIPPED, Recipe, load_recipe
from .terminal import terminal


def show_prompts(named: str, overrides: Sequence[str], source: PromptSource, shown: int, as_json: bool) -> None:
    """Print what a recipe's prompts are, or those of a path, without refusing entries: they are counted.

    Args:
        named: a recipe, or the path of prompts.
        overrides: of the recipe.
        source: how a path is read.
        shown: how many prompts to print.
        as_json: print one JSON object instead.

    Raises:
        UserError: the recipe, or the path, cannot be read.
    """
    if _is_recipe(named):
        if source != PromptSource(path=named):
            raise UserError(
                f"{named}: --field and --split are for a path: use --set, as in --set prompts.field=question"
            )
        found = _of_recipe(load_recipe(named, overrides), shown)
    elif overrides:
        raise UserError(f"{named}: --set is for a recipe: remove it, or use --field and --split")
    else:
        found = _of_path(source, shown)
    if as_json:
        print(json.dumps(found, ensure_ascii=False, indent=1))
    else:
        _print(found)


def prompts_line(recipe: Recipe) -> str:
    """A plan's line: the prompts and how often each is used; before those are known that are too long."""
    if not recipe.prompts.path:
        return "prompts: the sandbox world"
    if any("://" in path for path in recipe.prompts.paths):
        return f"prompts: {recipe.prompts.named}"
    try:
        said = prompts_of(recipe).said(recipe)
    except UserError as line:
        return f"prompts: {recipe.prompts.named}, which cannot be read here: {line}"
    assert said
    return f"prompts: {recipe.prompts.named}: {whole(said)}; those that are too long are left out later"


def _is_recipe(named: str) -> bool:
    return named.endswith((".yaml", ".yml")) or (not os.path.exists(named) and (SHIPPED / f"{named}.yaml").exists())


def _of_recipe(recipe: Recipe, shown: int) -> dict[str, Any]:
    if not recipe.prompts.path:
        raise UserError("prompts.path is empty: the prompts are the sandbox world's; set it to a file of prompts")
    here = recipe.policy.folder is not None and Path(recipe.policy.folder, "config.json").exists()
    rendering = as_rendered(recipe, date.today().isoformat()) if here else None
    found = read_sets(recipe, rendering, lenient=True)
    pool, counts = found.learning, found.counts
    assert isinstance(pool, Pool)
    assert counts
    lengths = sorted(pool.lengths.tolist()) if rendering else []
    tokens = {"shortest": lengths[0], "median": lengths[len(lengths) // 2], "longest": lengths[-1]} if lengths else None
    enough = bool(pool) and len(pool) > found.stream(recipe).held_out
    return {
        "path": recipe.prompts.named,
        **((found.said(recipe) if enough else None) or counts.to_json()),
        "tokens": tokens,
        "first": [_shown(prompt, rendering) for prompt in pool[:shown]],
    }


def _of_path(source: PromptSource, shown: int) -> dict[str, Any]:
    pool, counts = read(source, Asked(lenient=True))
    first = [_shown(prompt, None) for prompt in pool[:shown]]
    return {"path": source.named, **counts.to_json(), "tokens": None, "first": first}


def _shown(prompt: Prompt, rendering: AsRendered | None) -> dict[str, Any]:
    said = {"where": prompt.where, "messages": prompt.messages, "given": prompt.given}
    return {**said, "as_seen": rendering.text(prompt.messages) if rendering else None}


def _print(found: dict[str, Any]) -> None:
    console = terminal()
    console.print(f"{found['path']}: layout {found['layout']}", soft_wrap=True)
    console.print(f"{found['read']:,} entries, {found['kept']:,} prompts", soft_wrap=True)
    for reason, count in {**found["left_out"], **found["dropped"]}.items():
        example = f": {found['examples'][reason]}" if reason in found["examples"] else ""
        console.print(f"  {count:,} {WORDS[reason]}{example}", soft_wrap=True)
    if "most" in found:
        console.print(whole(found), soft_wrap=True)
    if tokens := found["tokens"]:
        console.print(", ".join(f"{name} {count:,}" for name, count in tokens.items()) + " tokens", soft_wrap=True)
    for prompt in found["first"]:
        console.print(f"\n{prompt['where']}", soft_wrap=True)
        for message in [] if prompt["as_seen"] else prompt["messages"]:
            console.print(f"{message['role']}: {message['content']}", soft_wrap=True)
        if prompt["as_seen"]:
            console.print(prompt["as_seen"], soft_wrap=True)
        for index, text in enumerate(prompt["given"], start=1):
            console.print(f"given {index}: {text}", soft_wrap=True)
