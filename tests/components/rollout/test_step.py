"""The rollout step: what it samples, and what cannot change a token of it."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.games.preference import log_normalise
from nashflow.components.methods.phases import PolicyRef, Sampling
from nashflow.components.models.dialogues import Dialogues
from nashflow.components.models.folders import load_tokenizer
from nashflow.components.rollout import step as rollout
from nashflow.components.sampling.rollouts import Samplers
from tests.fixtures.runs import SandboxRun, log_policy, remove, responses, snapshot
from tests.fixtures.statistics import BY_CHANCE, SIGMAS, chance

New = Callable[..., SandboxRun]
UNIT = "iterations/001/main/rollouts/00000"


class Killed(Exception):
    """What strikes in the middle of a step."""


class Watch:
    """The step's samplers, killed before their micro-batch number `until`; it counts the samples that they are asked
    for."""

    def __init__(self, until: int | None = None) -> None:
        self.until, self.asked, self.made = until, 0, 0
        self.opened: list[Any] = []

    def __call__(self, *arguments: Any, **options: Any) -> Samplers:
        return Watched(self, *arguments, **options)


class Watched(Samplers):
    def __init__(self, watch: Watch, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.watch = watch

    def open(self, policies: Any) -> Any:
        sampler = super().open(policies)
        self.watch.opened += [] if sampler in self.watch.opened else [sampler]
        return sampler

    def sampled(self, policies: Any, work: Any, **options: Any) -> Iterator[Any]:
        self.watch.asked += len(work)
        for batch in super().sampled(policies, work, **options):
            if self.watch.made == self.watch.until:
                raise Killed
            self.watch.made += 1
            yield batch


@pytest.fixture(scope="module")
def plain(prepared_root: SandboxRun, tmp_path_factory: pytest.TempPathFactory) -> SandboxRun:
    """The rollouts of the first iteration. Not to be written to."""
    run = prepared_root.copied(str(tmp_path_factory.mktemp("plain") / "run"))
    run.step("rollout", 1)
    return run


def test_every_prompt_has_its_samples_in_order(plain: SandboxRun) -> None:
    rows, prompts = plain.rows(UNIT), plain.content("prompts", 1)
    assert [(row["row_id"], row["sample"]) for row in rows] == [
        (prompt["row_id"], sample) for prompt in prompts for sample in range(2)
    ]
    tokenizer = load_tokenizer(plain.folder("000/main"))
    messages = {prompt["row_id"]: prompt["messages"] for prompt in prompts}
    for row in rows:
        assert row["prompt_ids"] == Dialogues(tokenizer).prompt(messages[row["row_id"]])
        assert row["text"] == tokenizer.decode(row["response_ids"], skip_special_tokens=True)
        assert row["role"] == "pair"
        assert (row["response_ids"][-1] == tokenizer.eos_token_id) == (row["finish"] == "stop")


def test_figures_are_those_of_the_records(plain: SandboxRun) -> None:
    rows, figures = plain.rows(UNIT), plain.manifest(UNIT).metrics
    lengths = [len(row["response_ids"]) for row in rows]
    assert (figures["responses"], figures["tokens"]) == (192, sum(lengths))
    assert figures["mean_length"] == pytest.approx(np.mean(lengths))
    assert figures["finished"] == np.mean([row["finish"] == "stop" for row in rows])
    assert figures["distinct"] == len({(row["row_id"], row["text"]) for row in rows}) / len(rows)
    assert figures["identical"] == len(rows) - len({(row["row_id"], row["text"]) for row in rows})
    assert figures["empty"] == sum(not row["text"].strip() for row in rows)
    assert figures["cut"] == sum(row["finish"] == "length" for row in rows)


@pytest.mark.parametrize("batch_size", [1, 7, 1024])
def test_the_batch_size_changes_no_token(batch_size: int, plain: SandboxRun, prepared: SandboxRun) -> None:
    other = prepared.changed(rollout__batch_size=batch_size)
    other.step("rollout", 1)
    assert other.rows(UNIT) == plain.rows(UNIT)


def test_shards_change_no_token(prepare: New, plain: SandboxRun) -> None:
    sharded = prepare({"prompts.shards": 2})
    sharded.data(1, ["rollout"])
    assert len(sharded.rows(UNIT)) == 96
    assert sharded.content("rollouts", 1) == plain.rows(UNIT)


def test_more_samples_only_add_to_those_before(prepared: SandboxRun, plain: SandboxRun) -> None:
    method = {**prepared.recipe.method.model_dump(), "samples": 4}
    more = prepared.changed(method=method)
    more.step("rollout", 1)
    assert [row for row in more.rows(UNIT) if row["sample"] < 2] == plain.rows(UNIT)


def test_another_seed_gives_other_tokens(prepared: SandboxRun, plain: SandboxRun) -> None:
    texts = [row["text"] for row in plain.rows(UNIT)]
    prepared.changed(run__seed=1).step("rollout", 1)
    assert [row["text"] for row in prepared.rows(UNIT)] != texts


def test_the_temperature_is_the_methods(prepared: SandboxRun) -> None:
    """Each symbol is drawn at it: of the 192 responses none is one that it makes a matter of 1e-12."""
    method = {**prepared.recipe.method.model_dump(), "temperature": 0.05}
    cold = prepared.changed(method=method)
    cold.step("rollout", 1)
    exact = log_policy(cold.folder("000/main")).reshape(8, 5, 5)
    first = np.logaddexp.reduce(exact, axis=2, keepdims=True)
    likely = (log_normalise(first[..., 0] / 0.05)[..., None] + log_normalise((exact - first) / 0.05)).reshape(8, 25)
    _, spelt = responses()
    contexts = {prompt["row_id"]: int(prompt["messages"][0]["content"][1:]) for prompt in cold.content("prompts", 1)}
    drawn = [likely[contexts[row["row_id"]], spelt.index(row["response_ids"])] for row in cold.rows(UNIT)]
    assert (len(drawn), min(drawn) > np.log(1e-12)) == (192, True)
    assert np.mean(likely < np.log(1e-12)) > 0.2


def test_a_finished_unit_is_left_alone(prepared: SandboxRun, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not prepared.step("rollout", 1).skipped
    before = snapshot(prepared.root)
    watch = Watch()
    monkeypatch.setattr(rollout, "Samplers", watch)
    again = prepared.step("rollout", 1)
    assert again.skipped
    assert again.manifest == prepared.manifest(UNIT)
    assert (snapshot(prepared.root), watch.asked) == (before, 0)


@pytest.mark.parametrize("killed_before", [0, 1, 7, 11])
def test_a_killed_step_goes_on_where_its_journal_ends(
    killed_before: int, plain: SandboxRun, prepared: SandboxRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = prepared.changed(rollout__batch_size=16)  # 12 micro-batches
    monkeypatch.setattr(rollout, "Samplers", Watch(killed_before))
    with pytest.raises(Killed):
        run.step("rollout", 1)
    with pytest.raises(UserError, match="not there yet"):
        run.manifest(UNIT)
    watch = Watch()
    monkeypatch.setattr(rollout, "Samplers", watch)
    manifest = run.step("rollout", 1).manifest
    assert watch.asked == 192 - 16 * killed_before
    assert manifest.files["rollouts"].sha256 == plain.manifest(UNIT).files["rollouts"].sha256
    assert run.store.list(f"{UNIT}.journal") == []


class Scattered(Watched):
    """Rows one by one, in another order."""

    def sampled(self, policies: Any, work: Any, **options: Any) -> Iterator[Any]:
        rows = [row for batch in Samplers.sampled(self, policies, work, **options) for row in batch]
        self.watch.asked += len(work)
        for row in rows[3::5] + rows[::5] + rows[4::5] + rows[1::5] + rows[2::5]:
            if self.watch.made == self.watch.until:
                raise Killed
            self.watch.made += 1
            yield [row]


def test_rows_that_come_in_another_order_are_kept_and_put_in_order(
    plain: SandboxRun, prepared: SandboxRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    for until, left in ((50, 192), (70, 142), (None, 72)):
        watch = Watch(until)
        monkeypatch.setattr(
            rollout, "Samplers", lambda *args, watch=watch, **options: Scattered(watch, *args, **options)
        )
        if until:
            with pytest.raises(Killed):
                prepared.step("rollout", 1)
        else:
            prepared.step("rollout", 1)
        assert watch.asked == left
    assert prepared.manifest(UNIT).files["rollouts"].sha256 == plain.manifest(UNIT).files["rollouts"].sha256


@pytest.mark.parametrize("killed_before", [5, 12, 14])
def test_several_samplings_are_one_after_the_other(
    killed_before: int, prepared: SandboxRun, plain: SandboxRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two samples to pair, and an opponent's of another temperature; killed in either or between them."""
    current = PolicyRef(0)
    opponent = Sampling({current: 1.0}, 1, role="opponent", temperature=0.5)
    phase = replace(prepared.phase(1), samples=(Sampling({current: 1.0}, 2), opponent))
    monkeypatch.setattr(rollout, "phase_of", lambda *_: phase)
    watch = Watch()
    monkeypatch.setattr(rollout, "Samplers", watch)
    prepared.step("rollout", 1)
    undisturbed = prepared.rows(UNIT)
    assert len(watch.opened) == 1
    assert [row for row in undisturbed if row["sample"] < 2] == plain.rows(UNIT)
    assert [row["role"] for row in undisturbed] == ["pair", "pair", "opponent"] * 96

    run = prepared.changed(rollout__batch_size=16)  # 12 micro-batches, then 6
    monkeypatch.setattr(rollout, "Samplers", Watch(killed_before))
    with pytest.raises(Killed):
        run.step("rollout", 1)
    watch = Watch()
    monkeypatch.setattr(rollout, "Samplers", watch)
    run.step("rollout", 1)
    assert watch.made == 18 - killed_before
    assert run.rows(UNIT) == undisturbed


def test_a_journal_of_other_settings_is_not_read(prepared: SandboxRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout, "Samplers", Watch(3))
    with pytest.raises(Killed):
        prepared.changed(rollout__batch_size=16).step("rollout", 1)
    watch = Watch()
    monkeypatch.setattr(rollout, "Samplers", watch)
    prepared.changed(rollout__batch_size=16, run__seed=1).step("rollout", 1)
    assert watch.asked == 192


@pytest.fixture(scope="module")
def many(prepared_root: SandboxRun, tmp_path_factory: pytest.TempPathFactory) -> SandboxRun:
    """3,200 responses. Not to be written to."""
    run = prepared_root.copied(str(tmp_path_factory.mktemp("many") / "run"))
    for key in ("run.json", "iterations/001/prompts/00000.manifest.json"):
        run.store.delete(key)
    run = run.changed(prompts__per_iteration=1600, rollout__batch_size=3200)
    run.step("preparation")
    run.step("rollout", 1)
    return run


def test_frequencies_are_the_enumerated_probabilities(many: SandboxRun) -> None:
    exact = np.exp(log_policy(many.folder("000/main")))
    prompts, spelt = responses()
    counts = np.zeros((8, 26))
    for row in many.rows(UNIT):
        response = spelt.index(row["response_ids"]) if row["response_ids"] in spelt else 25
        counts[prompts.index(row["prompt_ids"]), response] += 1
    assert counts.sum(1).tolist() == [400] * 8
    assert counts[:, 25].sum() == 0  # the mass outside is below 1e-6
    for context in range(8):
        assert chance(counts[context, :25], exact[context]) > BY_CHANCE


def test_two_samples_of_a_prompt_are_independent(many: SandboxRun) -> None:
    """They are one response as often as two draws of the policy are."""
    texts = [row["text"] for row in many.rows(UNIT)]
    same = np.mean([first == second for first, second in zip(texts[::2], texts[1::2], strict=True)])
    expected = (np.exp(log_policy(many.folder("000/main"))) ** 2).sum(1).mean()
    assert abs(same - expected) < SIGMAS * np.sqrt(expected * (1 - expected) / 1600)


def test_without_prompts_it_says_which_step_comes_first(fresh: New) -> None:
    run = fresh()
    with pytest.raises(UserError) as caught:
        run.step("rollout", 1)
    assert str(caught.value) == (
        f"{run.root}/iterations/001/prompts/00000: not there yet; run the step that makes it first"
    )


def test_an_undone_unit_is_made_again_with_the_same_bytes(plain: SandboxRun, prepared: SandboxRun) -> None:
    prepared.step("rollout", 1)
    remove(prepared, UNIT)
    prepared.step("rollout", 1)
    assert prepared.manifest(UNIT).files == plain.manifest(UNIT).files
