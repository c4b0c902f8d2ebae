"""Validate the recipe, write `run.json`, bring in the reference policy, deal out the prompts, open the tracking."""

import json
import shlex
import sys
import time
from dataclasses import dataclass, replace
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ..core.digests import digest_json, digest_json_list
from ..core.errors import TryAgain, UserError
from ..core.settings import Settings
from ..core.whole_lines import say
from ..iterations.tracked import catch_up
from ..methods.phases import REFERENCE_APART
from ..models.named import made
from ..prompts.counts import figures
from ..recipe import Recipe, with_settings
from ..registry.champions import Registry
from ..runtime import lock
from ..runtime.artifacts import Artifact, metrics_artifact, policy_artifact
from ..runtime.ledger import Ledger
from ..runtime.protocol import Call, Result
from ..storage import layout, outcome, recipes
from ..storage.dropped import dropped
from ..storage.records import PROMPTS, Prompt
from ..storage.run import Run, check_same, flatten, read_run, without_endpoints
from ..storage.store import Store
from ..storage.units import Manifest, Unit, require_manifest
from ..tracking.opening import Tracking, check_tracking
from ..tracking.tracker import Tracker
from . import prompts as dealing
from .described import IMAGES, open_tracking
from .reading import Prompts, as_rendered, prompts_of
from .reuse import Choice, Reused, deal, dealt, look
from .settings import given_by
from .trial import check_lengths, check_trainable

SETTINGS = Recipe
VERSION = 2
FLAGS = ("set", "run-name", "prompts", "policy", "job-id", "takes-over", "only-new-prompts", *IMAGES)
"""`--set`: settings that differ from the recipe, such as `method.eta=0.1`; `--run-name`, `--prompts`, `--policy`:
instead of the recipe's, where not empty; `--job-id`: KFP's; `--takes-over`: the run whose lock this one may take;
`--only-new-prompts`: true leaves out the prompts that runs of this name beside this one have taken before, and ends the
run at once where too few are left. The sandbox makes its prompts, which are always new. The images are those of the
run on Kubeflow, for MLflow."""
OUTPUTS = ("reference", "settings")
PARAMETERS = ("resolved", "go")

_VERSIONED = ("nashflow", "torch", "transformers", "tokenizers", "safetensors", "numpy", "pyarrow", "mlflow")


class NothingNew(Exception):
    """There are too few new prompts to run on."""


@dataclass(frozen=True)
class Checked:
    """A checked recipe: with names that stay, its prompts, their digests for the ledger, and its run."""

    recipe: Recipe
    prompts: Prompts
    digests: list[str]
    run: Run
    warning: str = ""
    reused: Reused | None = None
    """What of earlier runs is data, too."""


def check(settings: Recipe, store: Store, ledger: Ledger | None = None) -> Checked:
    """Validate everything that can be validated without a GPU. Nothing is written.

    Raises:
        UserError: one line: a policy, prompts or oracle that cannot be used, or a run root of another recipe.
        NothingNew: too few prompts are new by the ledger.
    """
    store.at("..")
    if settings.unavailable:
        raise UserError("; ".join(settings.unavailable))
    known = _known(store)
    settings = _settled(settings, known)
    for oracle in settings.oracles.values():
        oracle.check()
    for benchmark in settings.evaluation.benchmarks:
        benchmark.check()
    check_trainable(settings)
    day = (known and known.date) or date.today().isoformat()
    rendering = as_rendered(settings, day)
    prompts = prompts_of(settings, rendering)
    check_lengths(settings, prompts)
    digests, count = list[str](), len(prompts.learning)
    if ledger:
        prompts, digests = _free(prompts, ledger)
    all_prompts = _digest_of(prompts)
    if ledger:
        if known and known.inputs.get("prompts", all_prompts) != all_prompts:
            raise UserError(
                f"{store.uri}: other runs named {settings.run.name} have taken prompts of this one since it failed, or "
                f"{settings.prompts.named or 'the world'} has changed: it cannot go on; submit a new run"
            )
        _require_new(settings, prompts, count)
    reused = look(settings, store, known)
    named = {
        "prompts": all_prompts,
        **({"reused": reused.digest} if reused else {}),
        "policy": settings.policy.digest(),
        **({"reference": reference.digest()} if (reference := settings.policy.reference_policy) else {}),
        **{name: oracle.digest() for name, oracle in settings.oracles.items()},
        **{f"pairs of {name}": judge.labelled().digest for name, judge in settings.judges.items()},
    }
    run = Run(
        settings.run.name,
        _recorded(settings),
        named,
        _versions(),
        prompts=prompts.said(settings),
        judges=[*settings.judges],
        reused=[*reused.runs] if reused else [],
        date=day,
    )
    if known:
        check_same(store, known, _as_begun(store, known, run, prompts))
        _check_length(store, settings)
        _check_measurable(store, known, run)
    short = _short_of_room(settings, rendering.left) if rendering else ""
    return Checked(settings, prompts, digests, run, short, reused)


def _settled(settings: Recipe, known: Run | None) -> Recipe:
    """The recipe with the very policies that its names mean now, or meant when the run under the run root began."""
    before = known.recipe["policy"] if known else None
    policy = settings.policy.settled(before if isinstance(before, dict) else {})
    policy.check()
    return settings.with_policy(policy.joined())


def _digest_of(prompts: Prompts) -> str:
    return digest_json_list([prompt.messages, prompt.given] for prompt in prompts.learning)


def _as_begun(store: Store, known: Run, now: Run, prompts: Prompts) -> Run:
    """The run without the sets of prompts that are added to those of the run under the run root.

    Raises:
        UserError: there are such, and they would change what is held out.
    """
    before, sets = (run.recipe["prompts"]["path"] for run in (known, now))
    if isinstance(before, str) or not 1 < len(before) < len(sets) or sets[: len(before)] != before:
        return now
    if prompts.evaluated is None:
        raise UserError(
            f"{store.uri}: has prompts held out from all of its {len(before)} sets, so that none can be added: choose "
            "another run root, where evaluation.prompts is a set of its own if sets are to be added later"
        )
    recipe = {**now.recipe, "prompts": {**now.recipe["prompts"], "path": before}}
    digest = _digest_of(prompts.of_sets(len(before)))
    return replace(now, recipe=recipe, inputs={**now.inputs, "prompts": digest})


def _free(prompts: Prompts, ledger: Ledger) -> tuple[Prompts, list[str]]:
    """The prompts that no other run has taken, and their digests."""
    marked = [digest_json([prompt.messages, prompt.given]) for prompt in prompts.learning]
    free = ledger.free(marked)
    kept = [index for index, digest in enumerate(marked) if digest in free]
    return prompts.only(kept), [marked[index] for index in kept]


def _require_new(settings: Recipe, prompts: Prompts, count: int) -> None:
    """Raise unless enough of `count` prompts are new, for every iteration.

    Raises:
        NothingNew: says where they are too few.
    """
    stream = prompts.stream(settings)
    if (missing := stream.held_out + 1 - len(prompts.learning)) > 0:
        taken = f", and prompts.held_out = {stream.held_out} of them are for evaluation" if stream.held_out else ""
        raise NothingNew(
            f"{len(prompts.learning)} of {count} prompts are new to runs named {settings.run.name}{taken}: {missing} "
            f"more are needed in {settings.prompts.named}"
        )
    for iteration, path in enumerate(settings.prompts.paths[: settings.prompts.sets], start=1):
        if not len(stream.kept(iteration)):
            raise NothingNew(
                f"no prompt of {path}, for iteration {iteration}, is new to runs named {settings.run.name}"
            )


def _known(store: Store) -> Run | None:
    """The run under a run root, if there is one; settings that it did not have yet have their defaults."""
    run = read_run(store)
    if run is None:
        return None
    try:
        return replace(run, recipe=_recorded(Recipe.parse(run.recipe, layout.RUN)))
    except UserError:  # it had others, which will be named as what differs
        return run


def _recorded(recipe: Recipe) -> dict[str, Any]:
    """A recipe as `run.json` has it."""
    return {**recipe.model_dump(mode="json", exclude={"cluster"}), "policy": recipe.policy.model_dump()}


def _check_length(store: Store, settings: Recipe) -> None:
    """Refuse to make a run shorter than it has become."""
    last, wanted = max((max(iterations) for iterations in made(store).values()), default=0), settings.run.iterations
    if last > wanted:
        raise UserError(
            f"{store.uri}: has {last} iterations already, more than run.iterations = {wanted}: nothing is changed; set "
            f"it to {last} or more, or choose another run root"
        )


def _check_measurable(store: Store, known: Run, now: Run) -> None:
    """Refuse to measure policies anew that are not kept."""
    there, here = (flatten(without_endpoints(run.recipe)) for run in (known, now))
    # The two have one identity: besides the run's length, the guards and whom it tells, they differ in what measures.
    differing = [key for key in sorted(there | here) if there.get(key) != here.get(key)]
    changed = [key for key in differing if not key.startswith(("run.", "judging.", "training.", "notifications."))]
    if not changed:
        return
    policies = [(iteration, name) for name, iterations in made(store).items() for iteration in iterations]
    if gone := sorted({iteration for iteration, name in policies if dropped(store, layout.policy(iteration, name))}):
        raise UserError(
            f"{store.uri}: {changed[0]} was {there.get(changed[0])} and is {here.get(changed[0])} now, but policies to "
            f"be measured anew, of iterations {', '.join(map(str, gone))}, are not kept (run.keep): set it back"
        )


def run(call: Call[Recipe]) -> Result:
    """Prepare a run, or resume or extend the one under the run root."""
    recipe, store = _with_parameters(call), call.store
    only_new = call.flags["only-new-prompts"].lower() == "true" and recipe.prompts.path
    ledger = Ledger(store, recipe.run.name) if only_new else None
    try:
        checked = _claimed(call, recipe, ledger)
    except NothingNew as reason:
        return _skipped(call, recipe, str(reason))
    return _prepared(call, checked)


def _prepared(call: Call[Recipe], checked: Checked) -> Result:
    recipe, started, store, known = checked.recipe, time.time(), call.store, read_run(call.store)
    away = check_tracking(known.tracking if known else None)
    for oracle in (*recipe.oracles.values(), *recipe.evaluation.judges):
        oracle.check_reachable(store, anew=not known)
    if checked.warning:
        print(f"warning: {checked.warning}", file=sys.stderr, flush=True)
    recipe.policy.claim(store)
    replace(checked.run, tracking=known.tracking if known else None).write(store)
    policy = bring_in(store, checked)
    if away and known and known.tracking:
        say(f"warning: {away}; the run goes on, and later steps tell it")
        tracking: Tracking | None = Tracking.from_json(known.tracking)
    else:
        tracking = open_tracking(store, recipe, checked.run, known, call.flags)
    if recipe.promotion.model:
        _check_champion(recipe.promotion.model)
    resolved = recipes.write(store, recipe.model_dump(mode="json"))
    if tracking:
        replace(checked.run, tracking=tracking.to_json()).write(store)
    unit = Unit(store, "preparation", VERSION, checked.run.recipe, checked.run.inputs)
    counted: dict[str, float] = {"prompts": len(checked.prompts.learning), "iterations": recipe.run.iterations}
    counted |= dealt(store, recipe) if checked.reused else {}
    manifest = unit.publish({}, {**counted, **figures(checked.run.prompts)}, started)
    if not away:
        catch_up(store)
    return Result(
        manifest,
        artifacts={"reference": policy_artifact(store, policy), "settings": _settings(recipe)},
        parameters={"resolved": resolved, "go": "true"},
    )


def _check_champion(model: str) -> None:
    """Refuse, before any work, a registered model that nothing can be promoted in at the end.

    Raises:
        UserError: there is no MLflow, or the champion is gone, or is not what was registered.
    """
    try:
        if champion := Registry.open(model).champion():
            champion.manifest()
    except TryAgain as error:  # MLflow may be there again by then
        print(f"warning: {error}", file=sys.stderr, flush=True)


def bring_in(store: Store, checked: Checked) -> Manifest:
    """Publish the prompts, the comparisons of earlier runs, the reference, and the policy that training starts from,
    whose manifest it returns, unless they are there already."""
    recipe, inputs = checked.recipe, checked.run.inputs
    if recipe.policy.reference_policy:
        recipe.policy.reference_policy.bring_in(store, inputs["reference"], REFERENCE_APART.name)
    policy = recipe.policy.bring_in(store, inputs["policy"])
    _deal(store, checked.prompts, recipe)
    if checked.reused:
        held_out = require_manifest(store, layout.held_out()).rows(store, PROMPTS) if recipe.prompts.path else []
        choice = Choice({digest_json(row["messages"]) for row in held_out}, as_rendered(recipe, checked.run.date))
        deal(store, recipe, checked.reused, choice)
    return policy


def _skipped(call: Call[Recipe], recipe: Recipe, reason: str) -> Result:
    """End a scheduled run that has no new prompts, and record why."""
    print(f"preparation: skipped: {reason}", file=sys.stderr, flush=True)
    skipped = Run(recipe.run.name, recipe.model_dump(mode="json", exclude={"cluster"}), {}, _versions())
    skipped.write(call.store)
    outcome.write(call.store, "skipped", reason, call.flags["job-id"])
    try:
        Tracker(open_tracking(call.store, recipe, skipped, None, call.flags), call.store).close("skipped", reason)
    except UserError as error:  # a scheduled run without new prompts has not failed
        print(f"warning: {error}", file=sys.stderr, flush=True)
    nothing = metrics_artifact({})
    return Result(
        artifacts={"reference": nothing, "settings": nothing},
        parameters={"resolved": "", "go": "false"},
        figures={"prompts": 0},
    )


def _settings(recipe: Recipe) -> Artifact:
    """The settings of the run as KFP scalar metrics, so that Kubeflow's *Compare runs* shows their differences."""
    shown = flatten(recipe.model_dump(mode="json", exclude={"cluster"}))
    return Artifact(json.dumps(shown, indent=1).encode(), {key: _cell(value) for key, value in shown.items()})


def _cell(value: Any) -> Any:
    return value if isinstance(value, int | float | str) and not isinstance(value, bool) else json.dumps(value)


def _claimed(call: Call[Recipe], settings: Recipe, ledger: Ledger | None) -> Checked:
    """The checked recipe, once the run root's lock and the prompts are this run's.

    Raises:
        UserError: as `check`, or another live run holds the lock. NothingNew: as `check`.
    """
    owner, job = lock.lock_identity(call.flags)
    while True:
        try:
            checked = check(settings, call.store, ledger)
        except NothingNew:
            if lock.held_by(call.store) == (owner, job):  # since the round before
                lock.release(call.store, owner)
            raise
        lock.acquire(call.store, owner, job=job)
        # Once more: until the lock was taken, another run could make this run root its own.
        if known := _known(call.store):
            check_same(call.store, known, _as_begun(call.store, known, checked.run, checked.prompts))
        if not ledger or ledger.take(checked.digests):
            return checked


def _with_parameters(call: Call[Recipe]) -> Recipe:
    """The recipe with the pipeline's parameters in it.

    Raises:
        UserError: a parameter that the recipe, or the graph that it was compiled to, cannot follow.
    """
    try:
        settings = shlex.split(call.flags["set"])
    except ValueError as error:
        raise UserError(f"set: {call.flags['set']!r}: {error}: write section.key=value, blanks between two") from None
    recipe, sections = with_settings(call.settings, settings), dict[str, Settings]()
    if name := call.flags["run-name"]:
        sections["run"] = recipe.run.model_copy(update={"name": name})
    if path := call.flags["prompts"]:
        sections["prompts"] = recipe.prompts.model_copy(update={"path": path})
    if model := call.flags["policy"]:
        sections["policy"] = recipe.policy.at(model)
    if not sections:
        return recipe
    changed = {name: section.model_dump(mode="json") for name, section in sections.items()}
    return Recipe.parse({**recipe.model_dump(mode="json"), **changed}, "the pipeline's parameters")


def _short_of_room(settings: Recipe, left: float) -> str:
    """A warning where answers of `rollout.max_new_tokens` may not fit the `left` tokens of the oracle's context."""
    answers, longest = settings.oracle.responses_read, settings.rollout.max_new_tokens
    if left >= answers * longest:
        return ""
    return (
        f"beside the longest prompt, the oracle's context has room for {left:.0f} tokens of its own, and {answers} of "
        f"rollout.max_new_tokens = {longest} may come to more: it gives no verdict on answers that do not fit, or sees "
        "a part of them; lower prompts.max_tokens to have fewer of those"
    )


def _deal(store: Store, all_prompts: Prompts, settings: Recipe) -> None:
    """Publish the prompt shards of every iteration, and at 0 the held-out prompts."""
    prompts, seed = settings.prompts, settings.run.seed
    given, world, source = given_by(settings.method), settings.oracle.own_world, None
    if given and world:
        source = dealing.sandbox_responses(world, given, seed)
    own = all_prompts.evaluated
    rows = dealing.held_out(all_prompts.learning if own is None else own, prompts, seed)
    _publish(store, layout.held_out(), rows)
    stream = all_prompts.stream(settings)
    for iteration in range(1, settings.run.iterations + 1):
        rows = stream.deal(iteration, source)
        for shard, piece in enumerate(dealing.shards(rows, prompts.shards)):
            _publish(store, layout.prompts(iteration, shard), piece)


def _publish(store: Store, key: str, rows: list[Prompt]) -> None:
    unit = Unit(store, key, VERSION, None, {"rows": digest_json(rows)})
    if not unit.finished():
        unit.publish_records({PROMPTS: rows}, {}, time.time())


def _versions() -> dict[str, str]:
    versions = {}
    for package in _VERSIONED:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
