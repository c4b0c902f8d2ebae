"""What training would refuse of a recipe, found before anything is sampled for it."""

from pathlib import Path

from ..core.errors import UserError
from ..models.folders import load_shapes
from ..models.stand_in import stand_in
from ..prompts.pool import Pool
from ..recipe import Recipe
from ..scoring.groups import Group
from .reading import Prompts


def check_trainable(recipe: Recipe) -> None:
    """Refuse a policy whose model the engine, the adapter or a layout refuses. No weights are read: layouts are tried
    on a small model of its kind, if there is such, and else when the policy is first scored.

    Raises:
        UserError: says what to set.
    """
    if (folder := recipe.policy.folder) is not None:
        _check_model(folder, recipe)


def check_lengths(recipe: Recipe, prompts: Prompts) -> None:
    """Refuse prompts that leave no room for a response in the model's positions, or for a pair in a micro-batch of
    training.

    Raises:
        UserError: says what to set.
    """
    if isinstance(prompts.learning, Pool):
        longest = max(int(pool.lengths.max()) for pool in (prompts.learning, prompts.evaluated or prompts.learning))
        _check_positions(recipe, longest)
        _check_budget(recipe, int(prompts.learning.lengths.max()))


def _check_model(folder: Path, recipe: Recipe) -> None:
    shapes = load_shapes(folder)
    recipe.training.engine.check_model(shapes)
    recipe.training.adapter.check(shapes)
    layouts = [recipe.training.layout]
    if recipe.logprobs.engine.as_training:
        layouts.append(recipe.logprobs.layout)
    if model := stand_in(folder):
        for layout in dict.fromkeys(layouts):
            layout.check(model)


def _check_positions(recipe: Recipe, longest: int) -> None:
    room, positions = recipe.rollout.max_new_tokens, recipe.policy.positions()
    if longest + room > positions:
        ways = {"prompts.max_tokens": positions - room, "rollout.max_new_tokens": positions - longest}
        advice = " or ".join(f"set {name} to {value:.0f} or less" for name, value in ways.items() if value > 0)
        raise UserError(
            f"a prompt and its response take up to {longest + room} tokens, and {recipe.policy.folder} has "
            f"{positions:.0f} positions: {advice or 'lower prompts.max_tokens and rollout.max_new_tokens'}"
        )


def _check_budget(recipe: Recipe, longest: int) -> None:
    room, budget = recipe.rollout.max_new_tokens, recipe.training.micro_batch_tokens
    most = recipe.training.layout.tokens(Group(range(longest), [range(room)] * 2))
    if most > budget:
        raise UserError(
            f"a pair may have {most} tokens, with a prompt of {longest} and two responses of rollout.max_new_tokens = "
            f"{room}, and training.micro_batch_tokens is {budget}: set it to at least {most}, or lower "
            "rollout.max_new_tokens or prompts.max_tokens"
        )
