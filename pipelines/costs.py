"""The estimated cost of a recipe: GPU hours by step, the oracle's forward passes, storage.

A model of N parameters takes 2 N floating-point operations for each token that it generates or scores, and 6 N for each
that it is trained on (Kaplan et al., arXiv 2001.08361, section 2.1); GPU hours are operations over what a GPU does in
an hour. Counts are upper bounds: nothing is cached or dropped as identical.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from nashflow.components.benchmarks.base import BenchmarkSettings
from nashflow.components.core.errors import UserError
from nashflow.components.iterations.keep import master_stays, policy_stays
from nashflow.components.methods.phases import Phase
from nashflow.components.oracles.fitted.settings import JudgeSettings
from nashflow.components.oracles.oracle_settings import OracleSettings

from .plan import Work, rankings_of, rounds_of, shape_of, work_of
from .recipe import Recipe
from .steps import STEPS

GPU_FLOPS = 989e12
"""Floating-point operations a second of one GPU: an H100's or H200's dense bfloat16, by its data sheet."""
UTILISATION = 0.4
"""Part of them that scoring and training reach: assumed."""
GENERATION_UTILISATION = 0.1
"""Part of them that generation reaches, which memory holds back: assumed."""
TYPICAL_LENGTH = 0.25
"""Mean length of prompts and responses as a part of the longest: assumed."""
SANDBOX_PROMPT_TOKENS = 4

_SCORED, _TRAINED = 2.0, 6.0
_BYTES = {"float32": 4, "bfloat16": 2}
_MOMENTS = 12
"""Bytes a parameter of a checkpoint: it and AdamW's two moments, in float32."""
_ID, _TEXT, _COMPARISON, _LOGPROB, _CACHED = 4, 4, 64, 48, 80
"""Bytes of a token's id and of its text, and of a row of each record."""


class LabelledCounts(NamedTuple):
    """How many labelled pairs a judge is fitted to, and measured on."""

    training: int
    held_out: int


@dataclass(frozen=True)
class Assumptions:
    """The assumptions of an estimate; None: taken from the recipe."""

    parameters: float | None = None
    """Of the policy."""
    oracle_parameters: float | None = None
    """Of the oracle's model."""
    prompt_tokens: float | None = None
    """Mean length of a prompt."""
    response_tokens: float | None = None
    """Mean length of a response."""
    gpu_flops: float = GPU_FLOPS
    utilisation: float = UTILISATION
    generation_utilisation: float = GENERATION_UTILISATION
    labelled: Mapping[str, LabelledCounts | None] | None = None
    """Pairs of the judges that the run fits; None for those that cannot be read here."""

    def of(self, recipe: Recipe) -> "Assumptions":
        """These assumptions with what the recipe says; the oracle is as large as the policy unless it is known."""
        policy, sandbox = self.parameters or recipe.policy.parameters(), recipe.oracle.own_world
        share = 1.0 if sandbox else TYPICAL_LENGTH
        longest = SANDBOX_PROMPT_TOKENS if sandbox else recipe.prompts.max_tokens
        return replace(
            self,
            parameters=policy,
            oracle_parameters=(self.oracle_parameters or recipe.oracle.parameters() or policy)
            if recipe.oracle.responses_read
            else 0.0,
            prompt_tokens=self.prompt_tokens or share * longest,
            response_tokens=self.response_tokens or share * recipe.rollout.max_new_tokens,
            labelled={name: _counted(judge) for name, judge in recipe.judges.items()}
            if self.labelled is None
            else self.labelled,
        )


@dataclass(frozen=True)
class Cost:
    """The cost of one iteration; iteration 0 is the evaluation of the reference. NaN: the policy's size is not
    known."""

    iteration: int
    hours: dict[str, float]
    """GPU hours by step."""
    prompts: int
    """Prompts that are read, the held-out ones too."""
    forwards: int
    """Sequences that the policies generate, score or are trained on, those of the evaluation among them."""
    readings: int
    """Sequences that the oracle's model reads, likewise."""
    tokens: float
    """Tokens of all of these sequences."""
    stored: float
    """Bytes that stay."""


def cost_of(recipe: Recipe, iteration: int, assumptions: Assumptions) -> Cost:
    """The cost of one iteration."""
    estimate = Estimate(recipe, assumptions.of(recipe), iteration)
    hours = {step.name: step.hours(estimate) for step in STEPS.values() if step.hours and step.runs_in(recipe)}
    return Cost(
        iteration,
        hours,
        recipe.prompts.held_out + (recipe.prompts.per_iteration if iteration else 0),
        estimate.forwards,
        estimate.readings + estimate.evaluations + estimate.rankings,
        estimate.tokens,
        estimate.policies + estimate.records,
    )


@dataclass(frozen=True)
class Estimate:
    """Operations and bytes of one iteration of a recipe under complete assumptions, for the steps to count with."""

    recipe: Recipe
    known: Assumptions
    iteration: int

    @property
    def phases(self) -> tuple[Phase, ...]:
        """None at iteration 0."""
        return tuple(self.recipe.method.phases(self.iteration)) if self.iteration else ()

    @property
    def work(self) -> Work:
        """Its counts."""
        return work_of(self.recipe, self.iteration)

    @property
    def size(self) -> float:
        """Parameters of the policy."""
        return _number(self.known.parameters)

    @property
    def prompt(self) -> float:
        """Tokens of a prompt."""
        return _number(self.known.prompt_tokens)

    @property
    def response(self) -> float:
        """Tokens of a response."""
        return _number(self.known.response_tokens)

    @property
    def read(self) -> float:
        """Tokens of one sequence that the oracle's model reads: a prompt with two responses, or with one."""
        return self._read_by(self.recipe.oracle)

    @property
    def reading(self) -> float:
        """Operations of the oracle's model on one of them."""
        return _SCORED * _number(self.known.oracle_parameters) * self.read

    @property
    def forwards(self) -> int:
        """Sequences that the policies generate, score or are trained on."""
        return self._answering * self.held_out + self._questions + self._samples + self._scores + self._trained

    @property
    def tokens(self) -> float:
        """Tokens of all sequences, the oracle's too; a prompt with several responses is generated from once."""
        generated = self.answered + self.sampled
        whole = (self._scores + self._trained) * (self.prompt + self.response)
        judged = (self.readings + self.evaluations) * self.read + self.rankings * self._read_by(self._seeding)
        return generated + whole + judged + sum(self._fitting_tokens(name)[2] for name in self._judges)

    @property
    def held_out(self) -> int:
        """Responses of one policy to the held-out prompts."""
        return self.recipe.prompts.held_out * self.recipe.evaluation.samples

    @property
    def compared(self) -> int:
        """Comparisons, the evaluation's too."""
        return self.work.comparisons + self._asking * self.held_out + self._judged

    @property
    def evaluations(self) -> int:
        """Sequences that the oracle's model reads in the evaluation."""
        return (self._asking * self.held_out + self._judged) * self.recipe.oracle.sequences([[(0, 1)]])

    @property
    def readings(self) -> int:
        """Sequences that the oracle's model reads in the tournaments."""
        oracle, prompts = self.recipe.oracle, self.recipe.prompts.per_iteration
        return sum(oracle.sequences(rounds_of(phase)[0]) for phase in self.phases if not phase.data_from) * prompts

    @property
    def judged(self) -> float:
        """Operations of the oracles' models in the tournaments."""
        seeding = self._seeding
        ranking = _SCORED * self._parameters(seeding) * self.rankings * self._read_by(seeding) if seeding else 0.0
        return self.readings * self.reading + ranking

    @property
    def rankings(self) -> int:
        """Sequences that the seeding oracle's model reads."""
        if not (seeding := self._seeding):
            return 0
        each = rankings_of(self.recipe, self.phases)
        return sum(seeding.sequences([matches]) for matches in each) * self.recipe.prompts.per_iteration

    @property
    def labels(self) -> int:
        """Labelled pairs that the run's own judges are fitted to, over all epochs; those that can be read here."""
        known = self.known.labelled or {}
        return sum(
            judge.epochs * counts.training for name, judge in self._judges.items() if (counts := known.get(name))
        )

    @property
    def fitted(self) -> float:
        """Operations of fitting those judges, and of measuring them."""
        return sum(
            self._parameters(judge.oracle(judge.folder)) * (_TRAINED * trained + _SCORED * measured)
            for name, judge in self._judges.items()
            for trained, measured, _ in [self._fitting_tokens(name)]
        )

    @property
    def answered(self) -> float:
        """Tokens of the evaluation's generation; iteration 0 makes the opponents' responses too."""
        held_out = self._generated(self.recipe.prompts.held_out, self.held_out)
        return self._answering * held_out + self._generated(self._questions, self._questions)

    @property
    def measured(self) -> float:
        """Operations of the evaluation's judging, and of what benchmarks have policies score: not the reference."""
        return self.evaluations * self.reading + self._scored(self._measures)

    @property
    def promoted(self) -> float:
        """GPU hours of the comparisons with the champion, at most; they follow the last iteration."""
        if self.work.iteration < self.recipe.run.iterations:
            return 0.0
        prompts = min(self.recipe.promotion.budget or self.recipe.prompts.held_out, self.recipe.prompts.held_out)
        pairs = prompts * self.recipe.evaluation.samples
        judging = pairs * self.recipe.oracle.sequences([[(0, 1)]]) * self.reading
        return self.generating(2 * self._generated(prompts, pairs)) + self.computing(judging)

    @property
    def sampled(self) -> float:
        """Tokens of all rollouts; a mixture runs each of its policies."""
        prompts = self.recipe.prompts.per_iteration
        samplings = (sampling for phase in self.phases for sampling in phase.samples)
        return sum(len(each.weights) * self._generated(prompts, prompts * each.count) for each in samplings)

    @property
    def cached(self) -> float:
        """Operations of the anchors' log-probabilities."""
        return self._scored(self._scores - self._measures)

    @property
    def trained(self) -> float:
        """Operations of all phases' trainings."""
        return _TRAINED * self.size * self._trained * (self.prompt + self.response)

    @property
    def policies(self) -> float:
        """Bytes of the iteration's policies that stay when the run is done, and of their float32 weights; at 0 of the
        reference, if it is copied."""
        recipe, last = self.recipe, self.recipe.run.iterations
        each = _BYTES[recipe.training.save_dtype]
        if not self.iteration:
            return each * self.size if recipe.policy.copied else 0.0
        made = [phase.result for phase in self.phases]
        stay = sum(policy_stays(recipe.method, recipe.run.keep, policy, last, last) for policy in made)
        starts = sum(master_stays(recipe.method, policy, last, last) for policy in made)
        size = stay * each + (starts * _BYTES["float32"] if recipe.training.keeps_masters else 0)
        return size * self.size if size else 0.0

    @property
    def records(self) -> float:
        """Bytes of rollouts, comparisons, pairs, log-probabilities and their cache, before compression."""
        answers = self.held_out * (1 if self.iteration else 2)
        responses = answers + sum(self._responses(phase) for phase in self.phases)
        ids = responses * (self.prompt + self.response) * _ID + responses * self.response * _TEXT
        if not self.iteration:
            return ids + self.held_out * _COMPARISON
        work = self.work
        pairs = sum(work.candidates.values()) * (self.prompt + 2 * self.response) * _ID
        return ids + pairs + (work.comparisons + self.held_out) * _COMPARISON + work.scored * (_LOGPROB / 2 + _CACHED)

    @property
    def _seeding(self) -> OracleSettings | None:
        return self.recipe.judging.seeding

    @property
    def _judges(self) -> Mapping[str, JudgeSettings]:
        """Those that are fitted before iteration 0, and so with it."""
        return {} if self.iteration else self.recipe.judges

    def _fitting_tokens(self, name: str) -> tuple[float, float, float]:
        """Tokens in training a judge, in measuring it, and in both: it reads a pair twice, as its oracle does."""
        judge, counts = self._judges[name], (self.known.labelled or {}).get(name)
        if counts is None:
            return (math.nan,) * 3
        each = 2 * self._read_by(judge.oracle(judge.folder))
        trained, measured = judge.epochs * counts.training * each, counts.held_out * each
        return trained, measured, trained + measured

    def _read_by(self, oracle: OracleSettings | None) -> float:
        """Tokens of one sequence that an oracle's model reads: a prompt with two responses, or with one."""
        return self.prompt + oracle.responses_read * self.response if oracle else 0.0

    def _parameters(self, oracle: OracleSettings) -> float:
        """Parameters of an oracle's model; of one that cannot be read here, those of the policy."""
        return _number(oracle.parameters() or self.known.parameters) if oracle.responses_read else 0.0

    def generating(self, tokens: float) -> float:
        """GPU hours of generation."""
        flops = _SCORED * self.size * tokens
        return flops / (self.known.gpu_flops * self.known.generation_utilisation * 3600)

    def computing(self, flops: float) -> float:
        """GPU hours of scoring or training."""
        return flops / (self.known.gpu_flops * self.known.utilisation * 3600)

    def _scored(self, sequences: float) -> float:
        """Operations of scoring prompts with one response each."""
        return _SCORED * self.size * sequences * (self.prompt + self.response)

    @property
    def _benchmarks(self) -> list[BenchmarkSettings]:
        """Those that measure this iteration."""
        return shape_of(self.recipe).due(self.iteration)

    @property
    def _asking(self) -> int:
        """Benchmarks that have the oracle judge each response."""
        return sum(benchmark.asks_oracle and not benchmark.oracles for benchmark in self._benchmarks)

    @property
    def _questions(self) -> int:
        """Answers that benchmarks sample for themselves; those that several judges judge are sampled once."""
        return sum({benchmark.name: benchmark.answered for benchmark in self._benchmarks}.values())

    @property
    def _judged(self) -> int:
        """How often the recipe's oracle is asked about these."""
        return sum(benchmark.judged for benchmark in self._benchmarks if not benchmark.oracles)

    @property
    def _answering(self) -> int:
        """Policies whose responses the evaluation samples."""
        return len(shape_of(self.recipe).sampled(self.iteration))

    @property
    def _samples(self) -> int:
        """Responses of all rollouts, once for each policy of a mixture."""
        counts = (len(each.weights) * each.count for phase in self.phases for each in phase.samples)
        return self.recipe.prompts.per_iteration * sum(counts)

    @property
    def _measures(self) -> int:
        """Sequences that benchmarks have policies score: not the reference."""
        scoring = sum(benchmark.scores for benchmark in self._benchmarks) if self.iteration else 0
        return scoring * self.held_out

    @property
    def _scores(self) -> int:
        """Sequences whose log-probabilities are computed."""
        return self._measures + self.work.scored

    @property
    def _trained(self) -> int:
        """Sequences that all trainings see: both sides of each pair, in all epochs."""
        return 2 * sum(self._seen(phase) for phase in self.phases)

    def _seen(self, phase: Phase) -> int:
        """Pairs that one phase's training sees, all epochs."""
        training = self.recipe.training
        return training.batch_size * phase.updates if phase.updates else self._pairs(phase) * training.epochs

    def _generated(self, prompts: int, responses: int) -> float:
        """Tokens: each prompt is read once, however many responses it gets."""
        return prompts * self.prompt + responses * self.response

    def _responses(self, phase: Phase) -> int:
        return self.recipe.prompts.per_iteration * sum(sampling.count for sampling in phase.samples)

    def _pairs(self, phase: Phase) -> int:
        reuse = self.recipe.judging.reuse
        return self.work.candidates[phase.data_from or phase.name] + (reuse.per_iteration if reuse else 0)


def _counted(judge: JudgeSettings) -> LabelledCounts | None:
    """The pairs of a judge, if they are files that can be read here."""
    if any("://" in path for path in judge.data.paths):
        return None
    try:
        labelled = judge.labelled()
    except UserError:
        return None
    return LabelledCounts(len(labelled.training), len(labelled.held_out))


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def checkpoint_bytes(recipe: Recipe, assumptions: Assumptions) -> float:
    """Bytes of one training checkpoint, which goes when the training is done."""
    return _MOMENTS * _number(assumptions.of(recipe).parameters)


def master_bytes(recipe: Recipe, assumptions: Assumptions) -> float:
    """Bytes of a policy's float32 weights, which go when the next training is done; 0 where none are kept."""
    return _BYTES["float32"] * _number(assumptions.of(recipe).parameters) if recipe.training.keeps_masters else 0.0
