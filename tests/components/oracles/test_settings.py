"""The oracle section of a recipe: what is refused, what names an oracle, and that it opens."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.core.settings import Settings
from nashflow.components.games.sandbox.settings import WorldSettings
from nashflow.components.oracles.base import Query
from nashflow.components.oracles.oracle_settings import OracleSettings
from nashflow.components.oracles.pair_preference.settings import PairPreference
from nashflow.components.oracles.reward_model.settings import RewardModel
from nashflow.components.oracles.sandbox.settings import SandboxOracle
from nashflow.components.oracles.settings import AnyOracle
from tests.fixtures import models


class Recipe(Settings):
    oracle: AnyOracle


def parsed(**section: Any) -> OracleSettings:
    return Recipe.parse({"oracle": section}, "recipe.yaml").oracle


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.llama(tmp_path_factory.mktemp("judge"))


@pytest.fixture(scope="module")
def reward(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.classifier(tmp_path_factory.mktemp("reward"))


def test_the_kind_tells_oracles_apart_and_each_opens(judge: Path, reward: Path) -> None:
    sections: list[tuple[dict[str, Any], type[OracleSettings]]] = [
        ({"kind": "sandbox", "world": {"seed": 2}}, SandboxOracle),
        ({"kind": "reward_model", "model": str(reward)}, RewardModel),
        ({"kind": "pair_preference", "model": str(judge), "dtype": "bfloat16", "batch_size": 2}, PairPreference),
    ]
    for section, kind in sections:
        settings = parsed(**section)
        assert type(settings) is kind
        settings.check()
        (verdict,) = settings.load().compare([Query([{"role": "user", "content": "x1"}], "a b", "c d")])
        assert 0 < verdict.probability < 1
        assert verdict.probability != 0.5


@pytest.mark.parametrize(
    ("section", "complaint"),
    [
        ({"kind": "pair_preference"}, "oracle.model: required"),
        ({"kind": "pair_prefrence", "model": "m"}, "did you mean pair_preference"),
        (
            {"kind": "reward_model", "model": "m", "batch": 3},
            "oracle.batch: unknown key; did you mean oracle.batch_size",
        ),
        ({"kind": "reward_model", "model": "m", "dtype": "float16"}, "oracle.dtype"),
        ({"kind": "sandbox", "model": "m"}, "oracle.model: unknown key"),
    ],
)
def test_a_section_that_says_nonsense_has_its_line(section: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        parsed(**section)


def without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def with_pickle(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"")


def without_template(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()


def unknown_architecture(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "llama-of-tomorrow"}))


def damaged_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("[]")


def gone(folder: Path) -> None:
    shutil.rmtree(folder)


@pytest.mark.parametrize("kind", [RewardModel, PairPreference])
@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (without_weights, "no .*safetensors"),
        (pickled, "no .*safetensors.*pytorch_model.bin"),
        (with_pickle, "pickle"),
        (without_template, "no chat template"),
        (unknown_architecture, "cannot be opened by transformers: .*llama-of-tomorrow"),
        (damaged_tokenizer, "cannot be opened by transformers: "),
        (gone, "does not exist"),
    ],
)
def test_a_bad_folder_is_refused_with_one_line(
    kind: type[RewardModel] | type[PairPreference],
    damage: Callable[[Path], None],
    complaint: str,
    tmp_path: Path,
    judge: Path,
    reward: Path,
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(reward if kind is RewardModel else judge, folder)
    kind(model=str(folder)).check()
    damage(folder)
    with pytest.raises(UserError, match=complaint) as refusal:
        kind(model=str(folder)).check()
    assert str(folder) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_language_model_is_no_reward_model_and_the_other_way_round(judge: Path, reward: Path) -> None:
    with pytest.raises(UserError, match=r"no reward model: config\.json names no sequence classifier"):
        RewardModel(model=str(judge)).check()
    with pytest.raises(UserError, match=r"set oracle\.kind to reward_model"):
        PairPreference(model=str(reward)).check()


@pytest.mark.parametrize(
    ("counted", "outputs"),
    [({"id2label": {"0": "bad", "1": "good", "2": "best"}}, 3), ({}, 2), ({"num_labels": 2}, 2)],
)
def test_a_classifier_with_several_outputs_is_no_reward_model(
    counted: dict[str, Any], outputs: int, reward: Path, tmp_path: Path
) -> None:
    folder = labelled(shutil.copytree(reward, tmp_path / "model"), counted)
    with pytest.raises(UserError, match=f"{outputs} outputs, not 1"):
        RewardModel(model=str(folder)).check()


@pytest.mark.parametrize("counted", [{"num_labels": 1}, {"id2label": {"0": "reward"}}])
def test_outputs_are_counted_as_transformers_counts_them(counted: dict[str, Any], reward: Path, tmp_path: Path) -> None:
    RewardModel(model=str(labelled(shutil.copytree(reward, tmp_path / "model"), counted))).check()


def labelled(folder: Path, counted: dict[str, Any]) -> Path:
    """The folder with labels as its configuration's only account of the number of outputs."""
    config = json.loads((folder / "config.json").read_text())
    kept = {key: value for key, value in config.items() if key not in ("id2label", "label2id", "num_labels")}
    (folder / "config.json").write_text(json.dumps(kept | counted))
    return folder


def test_a_judge_without_the_two_letters_is_refused(tmp_path: Path) -> None:
    folder = models.llama(tmp_path, words=("yes", "no"))
    with pytest.raises(UserError, match='"A" is not a single token'):
        PairPreference(model=str(folder)).check()


def test_the_digest_of_a_model_names_weights_configuration_and_tokenizer(judge: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(judge, tmp_path / "elsewhere")
    digest = PairPreference(model=str(copy)).digest()
    assert digest == PairPreference(model=str(judge), batch_size=3).digest()
    (copy / "README.md").write_text("A judge.")
    assert PairPreference(model=str(copy)).digest() == digest
    digests = {digest}
    for name in ("chat_template.jinja", "tokenizer.json", "config.json", "model.safetensors"):
        content = (copy / name).read_bytes()
        (copy / name).write_bytes(content[:-1] + (b"\x01" if content[-1:] == b"\x00" else b"\x00"))
        digests.add(PairPreference(model=str(copy)).digest())
        (copy / name).write_bytes(content)
    assert len(digests) == 5


def test_the_digest_of_a_world_names_its_game() -> None:
    digests = [SandboxOracle.model_validate({"world": {"seed": seed}}).digest() for seed in (0, 1, 2)]
    assert len(set(digests)) == 3
    assert SandboxOracle().digest() == digests[0]


def test_what_its_model_reads_of_a_tournament() -> None:
    """Verdicts are remembered: two that meet again, in either order, are not read again."""
    rounds = [{(0, 1), (2, 3)}, {(1, 0), (1, 2)}]
    judge, reward = PairPreference(model="m"), RewardModel(model="m")
    assert (judge.responses_read, judge.sequences(rounds)) == (2, 2 * 3)
    assert (reward.responses_read, reward.sequences(rounds)) == (1, 4)
    assert (SandboxOracle().responses_read, SandboxOracle().sequences(rounds)) == (0, 0)


def test_only_the_sandbox_has_a_world(judge: Path) -> None:
    assert parsed(kind="sandbox", world={"seed": 2}).own_world == WorldSettings(seed=2)
    for kind in ("pair_preference", "reward_model"):
        assert parsed(kind=kind, model=str(judge)).own_world is None


def test_the_size_is_that_of_the_folders_model(judge: Path, reward: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    for settings, auto in (
        (PairPreference(model=str(judge)), AutoModelForCausalLM),
        (RewardModel(model=str(reward)), AutoModelForSequenceClassification),
    ):
        assert settings.parameters() == pytest.approx(auto.from_pretrained(settings.folder).num_parameters(), rel=1e-3)
    assert (SandboxOracle().parameters(), RewardModel(model="nowhere").parameters()) == (None, None)
