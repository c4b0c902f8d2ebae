"""The prompts of a recipe, as its policy sees them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from ..core.errors import UserError
from ..games.sandbox.texts import CONTEXT_NAMES, prompt_messages
from ..models.dialogues import Dialogues
from ..oracles.oracle_settings import Reader, TooLong
from ..prompts.counts import Counts
from ..prompts.layouts.base import Bad
from ..prompts.pool import Pool, Prompt
from ..prompts.reading import Asked, Rendering, read
from ..recipe import Recipe
from ..storage.records import Message
from .prompts import Stream
from .settings import given_by


class Unrendered(Bad):
    """A prompt that a chat template refuses, or loses something of."""

    reason = "unrendered"


class Unjudged(Bad):
    """A prompt that leaves the oracle no room for answers."""

    reason = "too_long_for_oracle"


class AsRendered:
    """Prompts and responses in a policy's tokens, and before the judge."""

    def __init__(self, policy: Dialogues, longest: int, judge: Reader | None = None) -> None:
        """`judge` reads every prompt of at most `longest` tokens, too."""
        self._policy, self._longest, self._judge = policy, longest, judge
        self.left = math.inf
        """Tokens that the longest prompt leaves the judge for answers."""

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of a prompt.

        Raises:
            Unrendered: a chat template refuses it, or loses something of it.
            Unjudged: it is too long for the judge.
        """
        try:
            self._policy.require_whole(messages)
            ids = self._policy.prompt(messages)
            if self._judge and len(ids) <= self._longest:
                self.left = min(self.left, self._judge(messages))
            return ids
        except TooLong as error:
            raise Unjudged(str(error)) from None
        except UserError as error:
            raise Unrendered(str(error)) from None

    def text(self, messages: Sequence[Message]) -> str:
        """A prompt with the chat template's tokens, as the policy reads it."""
        return str(self._policy.tokenizer.decode(self._policy.prompt(messages)))

    def response(self, messages: Sequence[Message], text: str) -> list[int]:
        """Token ids of a given response, with its end."""
        return self._policy.answer(messages, text)


@dataclass(frozen=True)
class Prompts:
    """What a recipe's prompts are."""

    learning: Sequence[Prompt]
    """Those that iterations take, and where evaluation has no set of its own, those held out among them."""
    evaluated: Pool | None
    """Evaluation's own."""
    counts: Counts | None
    """What was read and left out; None for the sandbox world."""
    evaluated_counts: Counts | None

    def stream(self, recipe: Recipe) -> Stream:
        """As iterations take them."""
        held_out = 0 if self.evaluated is not None else recipe.prompts.held_out
        return Stream(self.learning, recipe.prompts, recipe.run.seed, held_out)

    def only(self, indices: Sequence[int]) -> "Prompts":
        """With these of those that iterations take, by index."""
        pool = self.learning
        left = pool.only(np.array(indices, np.int64)) if isinstance(pool, Pool) else [pool[index] for index in indices]
        return replace(self, learning=left)

    def of_sets(self, count: int) -> "Prompts":
        """With those of the first sets alone."""
        pool = cast(Pool, self.learning)
        return self.only([int(index) for number in range(count) for index in pool.part(number)])

    def said(self, recipe: Recipe) -> dict[str, Any] | None:
        """What was read and left out, and how often each is used, as a JSON value; None for the sandbox world."""
        if self.counts is None:
            return None
        found = {**self.counts.to_json(), **self.stream(recipe).uses(recipe.run.iterations)._asdict()}
        return {**found, "held_out": self.evaluated_counts.to_json()} if self.evaluated_counts else found


def prompts_of(recipe: Recipe, rendering: Rendering | None = None) -> Prompts:
    """The prompts of a recipe, enough for it; `rendering`: None where the policy's tokens are not known.

    Raises:
        UserError: as `read`, or too few are left.
    """
    found = read_sets(recipe, rendering)
    if recipe.prompts.path:
        _check_enough(recipe, found)
    return found


def read_sets(recipe: Recipe, rendering: Rendering | None = None, *, lenient: bool = False) -> Prompts:
    """The same, however few they are; `lenient`: bad entries are counted, not refused.

    Raises:
        UserError: as `read`.
    """
    prompts, own = recipe.prompts, recipe.evaluation.prompts
    if not prompts.path:
        contexts = [Prompt(prompt_messages(context), []) for context in range(len(CONTEXT_NAMES))]
        return Prompts(contexts, None, None, None)
    room = recipe.rollout.max_new_tokens
    plain = Asked(rendering=rendering, longest=prompts.max_tokens, room=room, lenient=lenient)
    evaluated, evaluated_counts = read(own, plain, "evaluation.prompts") if own else (None, None)
    asked = replace(plain, wanted=given_by(recipe.method), given=prompts.given)
    learning, counts = read(prompts, asked, "prompts", evaluated)
    return Prompts(learning, evaluated, counts, evaluated_counts)


def as_rendered(recipe: Recipe, day: str) -> AsRendered | None:
    """The view of the recipe's policy, if it has a folder before the run begins, on a day, an ISO date."""
    policy = recipe.policy.dialogues(day) if recipe.prompts.path else None
    judge = recipe.oracle.dated(day).reader()
    return AsRendered(policy, recipe.prompts.max_tokens, judge) if policy else None


def _check_enough(recipe: Recipe, found: Prompts) -> None:
    settings, held_out = recipe.prompts, recipe.prompts.held_out
    if found.evaluated is not None and len(found.evaluated) < held_out:
        raise UserError(
            f"{recipe.evaluation.prompts.named}: {found.evaluated_counts}, fewer than prompts.held_out = {held_out}: "  # type: ignore[union-attr]
            "lower that, or add prompts"
        )
    if not found.learning or (found.evaluated is None and len(found.learning) <= held_out):
        long = {"too_long", "given_too_long", "without_given"} & {*found.counts.left_out, *found.counts.dropped}  # type: ignore[union-attr]
        longer = ", or raise prompts.max_tokens or rollout.max_new_tokens" if long else ""
        kept = f", of which prompts.held_out = {held_out} are for evaluation" if found.evaluated is None else ""
        lower = ", lower prompts.held_out" if found.evaluated is None else ""
        raise UserError(
            f"{settings.named}: {found.counts}{kept}: none is left to learn from; add prompts{lower}{longer}"
        )
    for iteration in range(1, settings.sets + 1):
        if not len(found.stream(recipe).kept(iteration)):
            raise UserError(
                f"{settings.paths[iteration - 1]}: no prompt is left for iteration {iteration}: all of them stand in "
                "an earlier set too, are held out or left out; add prompts"
            )
