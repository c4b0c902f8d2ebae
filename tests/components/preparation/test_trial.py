"""What training would refuse is refused by preparation, before anything is sampled; and what is advised mends it."""

from collections.abc import Callable
from pathlib import Path

import pytest
import transformers

from nashflow.components.core.errors import UserError
from tests.fixtures import models
from tests.fixtures.folders import over, write_prompts
from tests.fixtures.runs import SandboxRun, recipe, refusal

New = Callable[..., SandboxRun]


def bloom(folder: Path) -> Path:
    """A model whose attention takes no segments."""
    size = models.save_tokenizer(folder)
    config = transformers.BloomConfig(vocab_size=size, hidden_size=32, n_layer=2, n_head=2, eos_token_id=models.EOS)
    return models.save_model(transformers.BloomForCausalLM, config, folder, 0, "float32")


@pytest.mark.parametrize("section", ["training", "logprobs"])
def test_a_layout_that_the_model_does_not_take(section: str, fresh: New, folders: Path, tmp_path: Path) -> None:
    policy = bloom(tmp_path / "policy")
    changes = over(folders, policy__model=str(policy)) | {f"{section}.layout": "shared_prefix"}
    assert refusal(fresh(changes)) == (
        f"the model in {policy} (bloom) would have other log-probabilities in the layout shared_prefix, because not "
        "all of its layers are causal attention that takes segments: set training.layout and logprobs.layout to padded"
    )
    fresh(changes | {f"{section}.layout": "padded"}, "mended").step("preparation")


def test_an_adapter_beside_layers_that_there_are_not(fresh: New, folders: Path) -> None:
    changes = over(folders, training__adapter={"kind": "lora", "targets": ["q_proj", "query"]})
    line = refusal(fresh(changes))
    assert line == (
        "training.adapter.targets: query is no linear layer of the model below its head; those are down_proj, "
        "gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj"
    )
    mended = {"training.adapter": {"kind": "lora", "targets": ["q_proj"]}, "training.layout": "shared_prefix"}
    fresh(changes | mended, "mended").step("preparation")


def test_a_pair_that_no_micro_batch_would_hold(fresh: New, folders: Path, tmp_path: Path) -> None:
    """The longest prompt has 4 + 96 tokens; with the template's, and two responses of 200."""
    prompts = write_prompts(tmp_path / "prompts.jsonl", [f"question {index}" for index in range(20)] + ["x" * 96])
    changes = over(folders, prompts__path=str(prompts), prompts__max_tokens=200, rollout__max_new_tokens=200)
    changes |= {"training.micro_batch_tokens": 500}
    assert refusal(fresh(changes)) == (
        "a pair may have 600 tokens, with a prompt of 100 and two responses of rollout.max_new_tokens = 200, and "
        "training.micro_batch_tokens is 500: set it to at least 600, or lower rollout.max_new_tokens or "
        "prompts.max_tokens"
    )
    for number, mended in enumerate(({"micro_batch_tokens": 600}, {"layout": "shared_prefix"})):
        own = {f"training.{key}": value for key, value in mended.items()}
        fresh(changes | own, f"mended-{number}").step("preparation")


@pytest.mark.parametrize(("layout", "least"), [("padded", 1200), ("shared_prefix", 1000)])
def test_what_follows_from_the_settings_is_refused_with_the_recipe(layout: str, least: int, folders: Path) -> None:
    changes = over(folders, prompts__max_tokens=200, rollout__max_new_tokens=400, training__layout=layout)
    recipe(changes | {"training.micro_batch_tokens": 600})
    with pytest.raises(UserError) as caught:
        recipe(changes | {"training.micro_batch_tokens": 599})
    assert str(caught.value).endswith(
        "prompts.max_tokens is 200 and rollout.max_new_tokens 400, so that a text may have 600 tokens, and "
        f"training.micro_batch_tokens is 599: set that to at least {least}, for a pair "
        "of such texts, or lower the other two"
    )


def test_the_sandbox_has_texts_of_seven_tokens(prepare: New) -> None:
    prepare({"training.micro_batch_tokens": 14, "prompts.per_iteration": 8})
