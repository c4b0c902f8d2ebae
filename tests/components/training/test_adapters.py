"""Adapters: what they train, and that a merged policy is an ordinary one that computes the same."""

from pathlib import Path

import pytest
import torch
import transformers

from nashflow.components.core.errors import UserError
from nashflow.components.models.folders import load_causal_lm, save_policy
from nashflow.components.storage.units import Manifest
from nashflow.components.training.adapters import ADAPTERS, Lora, Qlora, WholeWeights, plain_name
from nashflow.components.training.loop import Trainer
from nashflow.components.training.settings import TrainingSettings
from tests.fixtures import models
from tests.fixtures.runs import SandboxRun, remove

SEED = (0, 1, "main")
IDS = torch.arange(8, 40)[None]


def mixture(folder: Path) -> Path:
    """A mixture of experts."""
    sizes = {"vocab_size": models.save_tokenizer(folder), "hidden_size": 32, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16}
    experts = {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
    config = transformers.Qwen3MoeConfig(**sizes, **heads, **experts, initializer_range=0.3)
    return models.save_model(transformers.Qwen3MoeForCausalLM, config, folder, 0, "float32")


@pytest.fixture(scope="module", params=[models.llama, models.gpt2, mixture], ids=["llama", "gpt2", "mixture"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GPT-2 has linear layers of its own kind, and one tensor for input and output embeddings; the experts of a mixture
    have two weights in one layer."""
    made: Path = request.param(tmp_path_factory.mktemp("model"))
    return made


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=IDS).logits
    return found


def trained(folder: Path, adapter: Lora) -> torch.nn.Module:
    """A model after steps on what its adapter trains."""
    model = adapter.open(folder, "float32", SEED)
    optimizer = torch.optim.AdamW([each for each in model.parameters() if each.requires_grad], lr=1e-2)
    for _ in range(3):
        model(input_ids=IDS).logits.square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return model


def test_lora_starts_from_the_policy_and_trains_little_of_it(folder: Path) -> None:
    whole, model = load_causal_lm(folder), Lora(rank=2).open(folder, "float32", SEED)
    assert torch.equal(logits(model), logits(whole))
    assert {plain_name(name) for name in model.state_dict() if "lora_" not in name} == whole.state_dict().keys()
    sizes = {True: 0, False: 0}
    for parameter in model.parameters():
        sizes[parameter.requires_grad] += parameter.numel()
    assert 0 < sizes[True] < sizes[False] / 4
    assert sizes[False] == sum(parameter.numel() for parameter in whole.parameters())


def test_what_lora_draws_is_a_function_of_the_seed_and_moves_no_other_draw(folder: Path) -> None:
    torch.manual_seed(3)
    one, drawn = Lora().open(folder, "float32", SEED), torch.rand(3)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(3))
    again, other = Lora().open(folder, "float32", SEED), Lora().open(folder, "float32", (1, 1, "main"))
    drawn_once, drawn_again, drawn_other = ([p for p in m.parameters() if p.requires_grad] for m in (one, again, other))
    assert all(torch.equal(a, b) for a, b in zip(drawn_once, drawn_again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(drawn_once, drawn_other, strict=True))


def test_a_merged_policy_is_an_ordinary_folder_that_computes_what_was_trained(folder: Path, tmp_path: Path) -> None:
    adapter = Lora(rank=4)
    model = trained(folder, adapter)
    before = logits(model)
    assert not torch.allclose(before, logits(load_causal_lm(folder)), atol=1e-2)
    adapter.merge(model)
    save_policy(model, folder, tmp_path / "policy", "float32")
    assert not list((tmp_path / "policy").glob("adapter*"))
    saved = load_causal_lm(tmp_path / "policy")
    assert saved.state_dict().keys() == load_causal_lm(folder).state_dict().keys()
    # Rounding alone: logits are of the order of 1 to 10.
    assert torch.allclose(logits(saved), before, rtol=0, atol=1e-3)


def test_targets(tmp_path: Path) -> None:
    folder = models.llama(tmp_path)
    model = Lora(targets=["q_proj"]).open(folder, "float32", SEED)
    assert all(".q_proj." in name for name, each in model.named_parameters() if each.requires_grad)
    line = (
        "^training.adapter.targets: lm_head, nope is no linear layer of the model below its head; those are down_proj, "
    )
    with pytest.raises(UserError, match=line):
        Lora(targets=["q_proj", "nope", "lm_head"]).open(folder, "float32", SEED)


def test_a_model_that_peft_does_not_adapt_is_one_line(tmp_path: Path) -> None:
    config = transformers.MambaConfig(vocab_size=models.save_tokenizer(tmp_path), hidden_size=16, num_hidden_layers=1)
    models.save_model(transformers.MambaForCausalLM, config, tmp_path, 0, "float32")
    with pytest.raises(UserError, match=r"^training\.adapter\.targets: .*incompatible with Mamba"):
        Lora().open(tmp_path, "float32", SEED)
    Lora(targets=["in_proj"]).open(tmp_path, "float32", SEED)


def test_qlora_is_refused_without_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(
        UserError, match=r"^training\.adapter: qlora needs a GPU, and there is none here: set it to lora$"
    ):
        Qlora().open(models.llama(tmp_path), "float32", SEED)


def test_qlora_starts_from_no_masters() -> None:
    rounded = {"adapter": "qlora", "save_dtype": "bfloat16"}
    assert not TrainingSettings.parse(rounded, "x").keeps_masters
    with pytest.raises(UserError, match="masters is true, but adapter qlora starts from fewer bits: leave it out"):
        TrainingSettings.parse({**rounded, "masters": True}, "x")


def test_kinds() -> None:
    assert dict(ADAPTERS.members) == {"none": WholeWeights, "lora": Lora, "qlora": Qlora}
    assert TrainingSettings().adapter == WholeWeights()


# --- in a run --------------------------------------------------------------------------------------------------------


def adapted(run: SandboxRun, **training: object) -> SandboxRun:
    """The run whose second training is to be done, by LoRA, with a checkpoint after every fifth update."""
    remove(run, "policies/002/main")
    lora = {"adapter": {"kind": "lora", "rank": 4}, "learning_rate": 2e-3, "checkpoint_updates": 5}
    return run.changed(training={**run.recipe.training.model_dump(), **lora, **training})


def second(run: SandboxRun) -> Manifest:
    manifest = run.step("training", 2).manifest
    assert manifest
    return manifest


def test_a_run_by_lora_learns_and_resumes_exactly(finished: SandboxRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run, update = adapted(finished), Trainer.update
    whole = second(run)

    def mortal(trainer: Trainer, batch: list[int]) -> dict[str, float]:
        if trainer.scheduler.last_epoch == 8:
            raise InterruptedError
        return update(trainer, batch)

    remove(run, "policies/002/main")
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "update", mortal)
        with pytest.raises(InterruptedError):
            run.step("training", 2)
    resumed = second(run)
    assert resumed.curves == whole.curves
    assert resumed.weights_digest == whole.weights_digest
    assert resumed.curves
    assert resumed.metrics["cache_mismatch"] < 1e-4
    assert resumed.metrics["h_saved"] > 0
