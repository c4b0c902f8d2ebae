"""Comparisons of earlier runs that are data of this one, too: found, chosen and dealt out to the iterations.

They are found by digests: the oracle that gave a verdict is this run's, the prompt has this run's tokens and is none of
those held out, and the tokenizer is the same. A pair of answers counts once, whoever has compared it. Log-probabilities
are this run's own business: the pairs made of them are scored under its anchors as any others.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ..core.digests import digest_json
from ..core.errors import UserError
from ..core.seeds import derive_seed
from ..iterations.units import Shape
from ..prompts.layouts.base import Bad
from ..prompts.reading import Rendering
from ..recipe import Recipe
from ..storage import layout, outcome
from ..storage.records import COMPARISONS, PROMPTS, ROLLOUTS, Comparison, Message, Prompt, Record, Rollout
from ..storage.run import Run, require_run, runs_beside
from ..storage.store import Store, open_store
from ..storage.units import Manifest, Unit, read_manifest, require_manifest
from .prompts import shards

VERSION = 1
FIRST_ROW = 1 << 40
"""Row ids of reused comparisons begin here, beyond those of any stream of prompts."""
_TOKENIZER = "tokenizer.json"


class Seen(NamedTuple):
    """A comparison with what was compared."""

    messages: list[Message]
    first: Rollout
    second: Rollout
    comparison: Comparison


@dataclass(frozen=True)
class Shard:
    """The judging of a shard in an earlier run."""

    store: Store
    prompts: Manifest
    rollouts: Manifest
    pairs: Manifest

    def comparisons(self) -> Iterator[Seen]:
        """In their order; every file is checked against its digest."""
        messages = {row["row_id"]: row["messages"] for row in self.prompts.stream(self.store, PROMPTS)}
        rollouts = {(row["row_id"], row["sample"]): row for row in self.rollouts.stream(self.store, ROLLOUTS)}
        for row in self.pairs.stream(self.store, COMPARISONS):
            first, second = (rollouts[row["row_id"], sample] for sample in (row["first"], row["second"]))
            yield Seen(messages[row["row_id"]], first, second, row)


@dataclass(frozen=True)
class Reused:
    """What earlier runs have judged by this run's oracle."""

    runs: tuple[str, ...]
    """Their run roots."""
    found: tuple[Shard, ...]
    """Empty where all of it is dealt out already, so that the earlier runs may be gone."""
    digest: str
    """Identity of all of it."""


def look(settings: Recipe, store: Store, known: Run | None) -> Reused | None:
    """The shards to reuse, of the runs that the recipe names and of earlier ones of its name; None where it wants none.

    A run that goes on keeps the runs that it began with.

    Raises:
        UserError: one of the runs is not there, or nothing of them was judged by this oracle.
    """
    reuse = settings.judging.reuse
    if reuse is None:
        return None
    if known and known.reused and all(read_manifest(store, place) for place in _places(settings)):
        return Reused(tuple(known.reused), (), known.inputs["reused"])
    if known and known.reused:
        roots = [open_store(root) for root in known.reused]
    else:
        named = [open_store(root) for root in reuse.runs]
        roots = named + [each for each in _earlier(settings, store, reuse.earlier) if each.uri not in map(_uri, named)]
    digest = settings.oracle.digest()
    found = [shard for root in roots for shard in _shards(root) if shard.pairs.inputs.get("oracle") == digest]
    if roots and not found:
        raise UserError(
            f"judging.reuse: no comparison in {', '.join(map(_uri, roots))} is of this run's oracle "
            f"({settings.oracle.signature}): name runs that it has judged, or leave judging.reuse out"
        )
    content = digest_json([[each.prompts.digest, each.rollouts.digest, each.pairs.digest] for each in found])
    return Reused(tuple(map(_uri, roots)), tuple(found), content)


def _places(settings: Recipe) -> list[str]:
    """The units of all iterations."""
    iterations = range(1, settings.run.iterations + 1)
    return [layout.reused(iteration, shard) for iteration in iterations for shard in range(settings.prompts.shards)]


def _uri(store: Store) -> str:
    return store.uri


def _earlier(settings: Recipe, store: Store, most: int) -> list[Store]:
    """The newest runs of this name beside this one that have succeeded, `most` of them."""
    found = []
    for other, run in runs_beside(store.at("..")) if most else ():
        ended = outcome.read(other)
        if ended and ended.outcome == "succeeded" and run.name == settings.run.name and other.uri != store.uri:
            found.append((ended.ended, other))
    return [other for _, other in sorted(found, key=lambda each: each[0], reverse=True)[:most]]


def _shards(store: Store) -> Iterator[Shard]:
    """What a run has judged, as far as it is there."""
    run = require_run(store)
    shape = Shape.of(run)
    for iteration in range(1, int(run.recipe["run"]["iterations"]) + 1):
        for phase in shape.method.phases(iteration):
            for shard in range(shape.shards) if phase.samples else ():
                prompts = read_manifest(store, layout.prompts(iteration, shard))
                places = (layout.shard(iteration, phase.name, kind, shard) for kind in ("rollouts", "pairs"))
                rollouts, pairs = (read_manifest(store, place) for place in places)
                if prompts and rollouts and pairs and pairs.inputs.get("rollouts") == rollouts.digest:
                    yield Shard(store, prompts, rollouts, pairs)


@dataclass
class Choice:
    """The comparisons that may be reused, and why others may not."""

    held_out: set[str]
    """Digests of the prompts that only evaluation sees."""
    rendering: Rendering | None
    """This run's; None where it makes its policy itself, whose prompts are the world's."""
    left_out: Counter[str] = field(default_factory=Counter)
    _known: set[str] = field(default_factory=set)

    def takes(self, seen: Seen) -> bool:
        """Whether a comparison may be reused; the reason why not is counted."""
        prompt = digest_json(seen.messages)
        pair = digest_json([prompt, sorted((seen.first["text"], seen.second["text"]))])
        if reason := self._against(seen, prompt, pair):
            self.left_out[reason] += 1
            return False
        self._known.add(pair)
        return True

    def _against(self, seen: Seen, prompt: str, pair: str) -> str:
        if seen.first["text"] == seen.second["text"]:
            return "identical"
        if seen.comparison["abstained"]:
            return "abstained"
        if prompt in self.held_out:
            return "held_out"
        if pair in self._known:
            return "repeated"
        return "" if self._same_tokens(seen) else "other_tokens"

    def _same_tokens(self, seen: Seen) -> bool:
        if self.rendering is None:
            return True
        try:
            return list(self.rendering.prompt(seen.messages)) == list(seen.first["prompt_ids"])
        except Bad:  # this run's template, or its judge, does not take it
            return False


def deal(store: Store, settings: Recipe, reused: Reused, choice: Choice) -> None:
    """Publish the reused comparisons of every iteration, unless they are there.

    Iteration t gets the t-th piece of all that may be reused, in an order that the seed decides, as long as there are
    any.

    Raises:
        UserError: an earlier run has another tokenizer.
    """
    size = _per_iteration(settings)
    parts = [size, settings.run.seed]
    units = [Unit(store, place, VERSION, parts, {"found": reused.digest}) for place in _places(settings)]
    if all(unit.finished() for unit in units):
        return
    _require_tokenizer(store, reused)
    chosen = _chosen(reused, choice, settings)
    turns = range(settings.run.iterations)
    pieces = [piece for turn in turns for piece in _split(chosen, turn, size, settings.prompts.shards)]
    for unit, piece in zip(units, pieces, strict=True):
        if not unit.finished():
            records: dict[Record[Any], Any] = {
                PROMPTS: piece.prompts,
                ROLLOUTS: piece.rollouts,
                COMPARISONS: piece.comparisons,
            }
            unit.publish_records(records, choice.left_out, time.time())


def dealt(store: Store, settings: Recipe) -> dict[str, float]:
    """How many comparisons are reused, and how many were left out for what reason."""
    every = [require_manifest(store, place) for place in _places(settings)]
    left_out = {f"not_reused_{reason}": count for reason, count in sorted(every[-1].metrics.items())}
    return {"reused": sum(each.files[COMPARISONS.name].rows or 0 for each in every), **left_out}


def _per_iteration(settings: Recipe) -> int:
    return settings.judging.reuse.per_iteration if settings.judging.reuse else 0


def _require_tokenizer(store: Store, reused: Reused) -> None:
    here = require_manifest(store, layout.policy(0, "main")).files.get(_TOKENIZER)
    for root in map(open_store, reused.runs):
        there = require_manifest(root, layout.policy(0, "main")).files.get(_TOKENIZER)
        if (here and here.sha256) != (there and there.sha256):
            raise UserError(
                f"judging.reuse: {root.uri} has another tokenizer than this run's policy, so that its tokens mean "
                "something else here: leave that run out"
            )


def _chosen(reused: Reused, choice: Choice, settings: Recipe) -> list[Seen]:
    """The comparisons that the iterations get, in the order in which they get them."""
    places = [
        (number, index)
        for number, shard in enumerate(reused.found)
        for index, seen in enumerate(shard.comparisons())
        if choice.takes(seen)
    ]
    order = np.random.default_rng(derive_seed("reuse", settings.run.seed)).permutation(len(places))
    count = _per_iteration(settings) * settings.run.iterations
    wanted = {places[int(at)]: turn for turn, at in enumerate(order[:count])}
    read = {number for number, _ in wanted}
    found = {
        wanted[number, index]: seen
        for number, shard in enumerate(reused.found)
        if number in read
        for index, seen in enumerate(shard.comparisons())
        if (number, index) in wanted
    }
    return [found[turn] for turn in sorted(found)]


@dataclass(frozen=True)
class _Piece:
    """The records of one shard."""

    prompts: list[Prompt]
    rollouts: Sequence[Mapping[str, Any]]
    comparisons: Sequence[Mapping[str, Any]]


def _split(chosen: Sequence[Seen], turn: int, size: int, count: int) -> Iterator[_Piece]:
    """The pieces of an iteration's comparisons, one for each shard, under row ids of their own."""
    first = turn * size
    mine = chosen[first : first + size]
    rows: list[Prompt] = [
        {"row_id": FIRST_ROW + first + place, "messages": seen.messages, "given": []} for place, seen in enumerate(mine)
    ]
    for piece in shards(rows, count):
        of = [chosen[row["row_id"] - FIRST_ROW] for row in piece]
        sides = [
            side | {"row_id": row["row_id"], "sample": sample, "logprob": []}
            for row, seen in zip(piece, of, strict=True)
            for sample, side in enumerate((seen.first, seen.second))
        ]
        yield _Piece(piece, sides, [_renamed(row["row_id"], seen) for row, seen in zip(piece, of, strict=True)])


def _renamed(row_id: int, seen: Seen) -> dict[str, Any]:
    """A comparison of the samples 0 and 1 of a row."""
    second_wins = int(seen.comparison["winner"] != seen.comparison["first"])
    places = {"row_id": row_id, "index": 0, "first": 0, "second": 1, "winner": second_wins, "repeated": False}
    return {**seen.comparison, **places}
