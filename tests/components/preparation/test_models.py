"""Models that a later step could not use: preparation refuses them before it writes anything, and what it advises
mends them."""

import json
import re
import shutil
from collections.abc import Callable
from copy import deepcopy
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


@pytest.mark.parametrize(
    ("place", "value"), [("tokenizer_config", "<|end|>"), ("generation_config", [models.EOS]), ("config", models.EOS)]
)
@pytest.mark.parametrize("none", [None, []])
def test_a_policy_without_a_token_that_ends_a_response(
    place: str, value: Any, none: Any, fresh: New, folders: Path, copy: Callable[[str], Path]
) -> None:
    policy, places = copy("policy"), {"tokenizer_config": "eos_token", "generation_config": "eos_token_id"}
    template = policy / "chat_template.jinja"
    template.write_text(template.read_text().replace("<|end|>", ""))
    edit(policy, "tokenizer_config.json", eos_token=None)
    edit(policy, "generation_config.json", eos_token_id=none)
    edit(policy, "config.json", eos_token_id=None)
    run = fresh(over(folders, policy__model=str(policy)))
    assert refusal(run) == (
        f"the model in {policy} has no end-of-sequence token: set eos_token in tokenizer_config.json"
    )
    edit(policy, f"{place}.json", **{places.get(place, "eos_token_id"): value})
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


@pytest.mark.parametrize(
    ("tokens", "advice"),
    [
        (4, "set prompts.max_tokens to 508 or less"),
        (100, "set prompts.max_tokens to 412 or less or set rollout.max_new_tokens to 28 or less"),
        (600, "set rollout.max_new_tokens to 28 or less"),
    ],
)
def test_a_prompt_that_exceeds_positions_of_another_name(
    tokens: int, advice: str, fresh: New, folders: Path, tmp_path: Path
) -> None:
    longest = "at length " * (60 if tokens == 4 else 48)
    prompts = [f"question {index}" for index in range(20)] + [longest]
    changes = over(
        folders,
        policy__model=str(models.gpt2(tmp_path / "policy")),
        oracle__model=str(long_reading(folders / "reward", tmp_path / "reward")),
        prompts__path=str(write_prompts(tmp_path / "prompts.jsonl", prompts)),
        rollout__max_new_tokens=tokens,
    )
    needed = len(longest) + 4 + tokens
    assert refusal(fresh(changes)) == (
        f"a prompt and its response take up to {needed} tokens, and {tmp_path / 'policy'} has 512 positions: {advice}"
    )
    for name, most in re.findall(r"set ([a-z._]+) to (\d+) or less", advice):
        fresh(deepcopy(changes) | {name: int(most)}, f"run-{name}").step("preparation")


def long_reading(folder: Path, to: Path) -> Path:
    """A copy of a model that reads longer texts."""
    shutil.copytree(folder, to)
    edit(to, "config.json", max_position_embeddings=4096)
    return to


def test_a_prompt_that_leaves_the_judge_no_room(fresh: New, folders: Path, copy: Callable[[str], Path]) -> None:
    reward, path = copy("reward"), folders / "prompts.jsonl"
    edit(reward, "tokenizer_config.json", model_max_length=40)
    changes = over(folders, oracle__model=str(reward))
    assert refusal(fresh(changes)) == (
        f"{path}: line 3: oracle.model {reward} reads 40 tokens, and the prompt with answers of a few words has 43: "
        "lower prompts.max_tokens, or set oracle.model to one that reads more; correct the entry, or set "
        "prompts.on_bad to skip"
    )
    fresh(deepcopy(changes) | {"prompts.max_tokens": 28}, "shorter").step("preparation")
    skipped = fresh(deepcopy(changes) | {"prompts.on_bad": "skip"}, "skipped")
    skipped.step("preparation")
    assert json.loads(skipped.store.read("run.json"))["prompts"]["left_out"] == {"too_long_for_oracle": 13}
    edit(reward, "tokenizer_config.json", truncation_side="left")
    fresh(changes, "left").step("preparation")


def test_a_judge_with_little_room_for_answers_is_warned_of(
    fresh: New, folders: Path, copy: Callable[[str], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    judge = copy("judge")
    changes = over(folders, oracle={"kind": "pair_preference", "model": str(judge)}, rollout__max_new_tokens=250)
    edit(judge, "config.json", max_position_embeddings=2048)
    fresh(changes).step("preparation")
    assert "warning" not in capfd.readouterr().err
    edit(judge, "config.json", max_position_embeddings=512)
    fresh(changes, "short").step("preparation")
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert line.startswith("warning: beside the longest prompt, the oracle's context has room for ")
    assert "and 2 of rollout.max_new_tokens = 250 may come to more" in line
