"""What a policy is: every file that transformers reads decides its digest, and no other file is read."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from nashflow.components.core.errors import UserError
from nashflow.components.models.folders import check_model_folder
from nashflow.components.models.identity import digest_of, files_read, policy_digest
from nashflow.components.models.policies import open_policy
from nashflow.components.models.weights import weights_digest
from nashflow.components.storage.store import Store, open_store
from nashflow.components.storage.units import Manifest, Unit

READ = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "additional_chat_templates/tool.jinja",
)
PLANTED = ("special_tokens_map.json", "extra.safetensors", "additional_chat_templates/x.jinja")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model = tmp_path / "model"
    (model / "additional_chat_templates").mkdir(parents=True)
    for name in READ:
        (model / name).write_text("{}")
    save_file({"a": np.ones(3, np.float32)}, model / "model.safetensors")
    (model / "README.md").write_text("about")
    return model


def published(store: Store, folder: Path, *, copied: bool = True) -> Manifest:
    unit, weights = Unit(store, "policies/001/main", 1, {}, {}), weights_digest(folder)
    if copied:
        return unit.publish_folder(folder, {}, time.time(), weights_digest=weights)
    return unit.publish_pointer(folder, files_read(folder), {}, time.time(), weights_digest=weights)


@pytest.mark.parametrize("name", READ)
def test_every_file_that_is_read_decides(name: str, folder: Path) -> None:
    before, weights = policy_digest(folder), weights_digest(folder)
    (folder / name).write_text('{"rope_theta": 1}')
    assert policy_digest(folder) != before
    assert weights_digest(folder) == weights


def test_what_is_not_read_and_how_weights_are_spread_decide_nothing(folder: Path) -> None:
    before = policy_digest(folder)
    (folder / "README.md").write_text("more")
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00001.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert policy_digest(folder) == before


@pytest.mark.parametrize("copied", [True, False])
def test_a_manifest_says_the_same_as_its_folder(copied: bool, folder: Path, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "run"))
    made = published(store, folder, copied=copied)
    assert digest_of(made) == policy_digest(folder) == open_policy(store, "001/main").digest


@pytest.mark.parametrize("copied", [True, False])
@pytest.mark.parametrize(
    "planted", ["special_tokens_map.json", "extra.safetensors", "additional_chat_templates/x.jinja"]
)
def test_a_file_that_no_manifest_lists_is_refused(planted: str, copied: bool, folder: Path, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "run"))
    published(store, folder, copied=copied)
    path = open_policy(store, "001/main").folder / planted
    path.write_text("{}")
    with pytest.raises(UserError) as caught:
        open_policy(store, "001/main")
    assert str(caught.value) == f"{path}: not among the files of this model that were recorded: remove it"
    path.unlink()
    open_policy(store, "001/main")


@pytest.mark.parametrize("config", [{"transformers_weights": "b.safetensors"}, {"text": {"transformers_weights": "x"}}])
def test_a_configuration_that_names_other_weights_is_refused(config: dict[str, object], folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"transformers_weights in config\.json names another file"):
        check_model_folder(folder)
