"""Cache the log-probabilities of a phase's pairs under its anchor policies."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..core.digests import digest_json
from ..core.settings import named_by
from ..iterations.work import AtWork, Work
from ..methods import phase_of
from ..methods.phases import Phase
from ..models.folders import load_causal_lm
from ..models.policies import LocalPolicy, open_policy
from ..runtime.artifacts import records_artifact
from ..runtime.progress import Progress
from ..runtime.protocol import Call, Result
from ..scoring.batches import bucket
from ..scoring.engines import Scorer
from ..scoring.groups import Pair, tokens_of
from ..scoring.settings import ScoringSettings
from ..storage import layout, records
from ..storage.units import Manifest, Unit, read_manifest, require_manifest
from .cache import LogprobCache, key_of
from .responses import require_tokens
from .sampled import Recorded, close, recorded
from .settings import LogprobsStep

SETTINGS = LogprobsStep
VERSION = 1
OUTPUTS = ("log_probabilities",)


def run(call: Call[LogprobsStep]) -> Result:
    """Score both sides of every pair of one shard under every anchor of the phase."""
    phase = phase_of(call.settings.method, call.iteration, call.phase)
    source = phase.data_from or phase.name
    pairs = require_manifest(call.store, layout.shard(call.iteration, source, "pairs", call.shard))
    policies = {name: open_policy(call.store, name) for name in phase.weights}
    rollouts = _recording(call, source)
    unit = Unit(
        call.store,
        layout.shard(call.iteration, call.phase, "logprobs", call.shard),
        VERSION,
        call.settings.model_dump(mode="json"),
        {
            "pairs": pairs.digest,
            **{name: policy.digest for name, policy in policies.items()},
            **({"rollouts": rollouts.digest} if rollouts else {}),
            **named_by(scorer=call.settings.logprobs.engine),
        },
    )

    def work(work: Work) -> Manifest:
        rows = pairs.rows(call.store, records.PAIRS)
        require_tokens(rows)
        sampled = rollouts.stream(call.store, records.ROLLOUTS) if rollouts else ()
        own = recorded(phase_of(call.settings.method, call.iteration, source), rows, sampled)
        return _score(call, work, phase, policies, rows, own)

    manifest, found = AtWork(call, f"{call.phase}/logprobs").carry_out(unit, work)
    return Result(manifest, found, {"log_probabilities": records_artifact(call.store, manifest, records.LOGPROBS)})


def _recording(call: Call[LogprobsStep], source: str) -> Manifest | None:
    """The rollouts of the pairs, if log-probabilities that are recorded with them may stand for scored ones."""
    rollouts = read_manifest(call.store, layout.shard(call.iteration, source, "rollouts", call.shard))
    return (
        rollouts if rollouts and "recorded" in rollouts.metrics and call.settings.logprobs.dtype == "float32" else None
    )


def _score(
    call: Call[LogprobsStep],
    work: Work,
    phase: Phase,
    policies: dict[str, LocalPolicy],
    rows: list[records.Pair],
    own: Recorded,
) -> Manifest:
    sequences, journal = _unique(rows), work.journal
    # Micro-batches are fixed by the shard's content, not by what is missing: the same numbers after a restart.
    settings = call.settings.logprobs
    batches = bucket(list(sequences.values()), settings.batch_tokens, settings.layout)
    for entry in _scored(call, policies, sequences, batches, own, len(journal)):
        journal.append(entry)
    entries = list(journal)
    found = _gathered(call, policies, sequences, batches, entries)
    reduce = _mean if phase.reduction == "mean" else _sum
    computed = sum(sum(entry["computed"]) for entry in entries)
    scored = len(sequences) * len(policies)
    pairs, scored_batches = list(sequences.values()), zip(batches * len(policies), entries, strict=True)
    tokens = sum(_read(pairs, batch, entry["computed"]) for batch, entry in scored_batches)
    spared = sum(entry.get("sampled", 0) for entry in entries)
    metrics = {"sequences": scored, "cache_hits": scored - computed - spared, "tokens": tokens}
    if own:
        metrics |= {"sampled": spared, "sampled_apart": max(entry["apart"] for entry in entries)}
    return work.publish({records.LOGPROBS: _rows(rows, found, reduce)}, metrics)


def _unique(rows: list[records.Pair]) -> dict[str, Pair]:
    """The distinct (prompt, response) of both sides by cache key, in order of first appearance."""
    sides = (side for row in rows for side in _sides(row))
    return {key_of(pair): pair for pair in sides}


def _read(pairs: list[Pair], batch: list[int], computed: list[bool]) -> int:
    """Tokens that a policy reads for a micro-batch: those of the sequences that are not cached."""
    return tokens_of(pairs[index] for index, new in zip(batch, computed, strict=True) if new)


def _sides(row: records.Pair) -> tuple[Pair, Pair]:
    return (row["prompt_ids"], row["chosen_ids"]), (row["prompt_ids"], row["rejected_ids"])


def _scored(
    call: Call[LogprobsStep],
    policies: dict[str, LocalPolicy],
    sequences: dict[str, Pair],
    batches: list[list[int]],
    own: Recorded,
    done: int,
) -> Iterator[dict[str, Any]]:
    """The values of every policy's micro-batches after the first `done`: from the cache, recorded, or computed."""
    keys, pairs = list(sequences), list(sequences.values())
    before, settings = sum(map(len, (batches * len(policies))[:done])), call.settings.logprobs
    with Progress("sequences", len(keys) * len(policies), before) as progress:
        for name, policy in policies.items():
            todo, done = batches[done:], max(0, done - len(batches))
            cached = _cache(call, policy).load(*_writer(call)) if todo else {}
            scorer = _LazyScorer(settings, policy, sequences)
            missing = {key: value for key, value in own.get(name, {}).items() if key not in cached} if todo else {}
            spared, distance = close(missing, [[keys[index] for index in batch] for batch in batches], scorer.by_key)
            there = cached | spared
            for batch in todo:
                known = {index: there[keys[index]] for index in batch if keys[index] in there}
                if len(known) < len(batch):
                    computed = scorer.by_key([keys[index] for index in batch])
                    known = {index: computed[keys[index]] for index in batch} | known
                new = [keys[index] not in there for index in batch]
                progress.add(len(batch), tokens=_read(pairs, batch, new))
                yield {
                    "values": [known[index] for index in batch],
                    "computed": new,
                    "sampled": sum(keys[index] in spared for index in batch),
                    "apart": distance,
                }


class _LazyScorer:
    """A policy's scorer, opened when it is first asked."""

    def __init__(self, settings: ScoringSettings, policy: LocalPolicy, sequences: Mapping[str, Pair]) -> None:
        self._settings, self._policy, self._sequences = settings, policy, sequences
        self._scorer: Scorer | None = None

    def by_key(self, keys: Sequence[str]) -> dict[str, float]:
        """The values of a micro-batch of sequences, as they are stored."""
        settings = self._settings
        if not self._scorer:
            opened = settings.engine.open(self._policy.folder, settings.dtype, load_causal_lm, settings.layout)
            self._scorer = opened
        values = self._scorer.score([self._sequences[key] for key in keys], settings.batch_tokens)
        return {key: float(np.float32(value)) for key, value in zip(keys, values, strict=True)}


def _gathered(
    call: Call[LogprobsStep],
    policies: dict[str, LocalPolicy],
    sequences: dict[str, Pair],
    batches: list[list[int]],
    entries: list[dict[str, Any]],
) -> dict[str, dict[str, float]]:
    """All values by policy and key; newly computed values are added to the cache."""
    keys, found = list(sequences), {}
    order = [keys[index] for batch in batches for index in batch]
    for number, (name, policy) in enumerate(policies.items()):
        mine = entries[number * len(batches) : (number + 1) * len(batches)]
        found[name] = dict(zip(order, (value for entry in mine for value in entry["values"]), strict=True))
        computed = (flag for entry in mine for flag in entry["computed"])
        new = {key: found[name][key] for key, flag in zip(order, computed, strict=True) if flag}
        if new:
            _cache(call, policy).add(*_writer(call), new)
    return found


def _cache(call: Call[LogprobsStep], policy: LocalPolicy) -> LogprobCache:
    settings = call.settings.logprobs
    return LogprobCache(call.store, policy.digest, settings.engine.label, settings.dtype)


def _writer(call: Call[LogprobsStep]) -> tuple[str, str]:
    """The writer of cache entries: the group of shards that run together, and this shard."""
    return digest_json([call.settings.model_dump(mode="json"), call.iteration, call.phase])[:16], f"{call.shard:05d}"


def _rows(
    rows: list[records.Pair], found: dict[str, dict[str, float]], reduce: Callable[[float, Pair], float]
) -> Iterator[records.Logprob]:
    for row in rows:
        chosen, rejected = _sides(row)
        for name, values in found.items():
            yield {
                "row_id": row["row_id"],
                "pair": row["pair"],
                "policy": name,
                "chosen": reduce(values[key_of(chosen)], chosen),
                "rejected": reduce(values[key_of(rejected)], rejected),
            }


def _sum(value: float, pair: Pair) -> float:
    return value


def _mean(value: float, pair: Pair) -> float:
    return value / len(pair[1])
