"""Models that a later step could not use: preparation refuses them before it writes anything, and what it advises
mends them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from nashflow.components.models.folders import load_causal_lm, load_tokenizer
from tests.fixtures import models
from tests.fixtures.folders import over, write_prompts
from tests.fixtures.runs import SandboxRun, refusal

New = Callable[..., SandboxRun]


def edit(folder: Path, name: str, **values: Any) -> None:
    """Set keys of one of a folder's JSON files; None removes one."""
    data = json.loads((folder / name).read_text()) | values
    (folder / name).write_text(json.dumps({key: value for key, value in data.items() if value is not None}))


@pytest.fixture
def copy(folders: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A function that copies the policy, the reward model or the judge."""
    return lambda name: Path(shutil.copytree(folders / name, tmp_path / "models" / name))


def test_a_policy_without_a_token_that_ends_a_response(fresh: New, folders: Path, copy: Callable[[str], Path]) -> None:
    policy = copy("policy")
    for name, key in (
        ("tokenizer_config", "eos_token"),
        ("generation_config", "eos_token_id"),
        ("config", "eos_token_id"),
    ):
        edit(policy, f"{name}.json", **{key: None})
    (policy / "chat_template.jinja").write_text(
        "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}"
    )
    run = fresh(over(folders, policy__model=str(policy)))
    assert refusal(run) == (
        f"the model in {policy} has no end-of-sequence token: set eos_token in tokenizer_config.json"
    )
    edit(policy, "tokenizer_config.json", eos_token="<|end|>")
    run.step("preparation")


def test_a_tokenizer_with_more_tokens_than_the_policy_has_embeddings(
    fresh: New, folders: Path, copy: Callable[[str], Path]
) -> None:
    policy = copy("policy")
    tokenizer = load_tokenizer(policy)
    tokenizer.add_tokens(["<|turn|>"], special_tokens=True)
    tokenizer.save_pretrained(policy)
    run = fresh(over(folders, policy__model=str(policy)))
    line = refusal(run)
    assert line.startswith(f"model folder {policy}: its tokenizer's last token is '<|turn|>', number 263, ")
    assert "call resize_token_embeddings(264) on the model and save it again" in line
    model = load_causal_lm(policy)
    model.resize_token_embeddings(264)
    model.save_pretrained(policy)
    run.step("preparation")


@pytest.mark.parametrize("part", ["policy", "oracle"])
def test_an_adapter(part: str, fresh: New, folders: Path, copy: Callable[[str], Path]) -> None:
    folder = copy({"policy": "policy", "oracle": "reward"}[part])
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    line = refusal(fresh(over(folders, **{f"{part}__model": str(folder)})))
    assert line.startswith(f"model folder {folder} is an adapter of another model (it has adapter_model.safetensors)")


@pytest.mark.parametrize("part", ["policy", "oracle"])
def test_a_weight_that_is_no_finite_number(part: str, fresh: New, folders: Path, copy: Callable[[str], Path]) -> None:
    folder = copy({"policy": "policy", "oracle": "reward"}[part])
    file, name = folder / "model.safetensors", "model.layers.1.mlp.up_proj.weight"
    tensors = load_file(file)
    tensors[name][3, 5] = float("nan")
    save_file(tensors, file, {"format": "pt"})
    line = refusal(fresh(over(folders, **{f"{part}__model": str(folder)})))
    assert line.startswith(f"{file}: the tensor {name} holds a number that is infinite or NaN: ")


def test_a_prompt_that_exceeds_positions_of_another_name(fresh: New, folders: Path, tmp_path: Path) -> None:
    prompts = [f"question {index}" for index in range(20)] + ["at length " * 60]
    changes = over(
        folders,
        policy__model=str(models.gpt2(tmp_path / "policy")),
        prompts__path=str(write_prompts(tmp_path / "prompts.jsonl", prompts)),
    )
    assert refusal(fresh(changes)) == (
        f"a prompt and its response take up to 607 tokens, and {tmp_path / 'policy'} has 512 positions: "
        "lower prompts.max_tokens or rollout.max_new_tokens"
    )
    fresh({**changes, "prompts.max_tokens": 509}).step("preparation")
