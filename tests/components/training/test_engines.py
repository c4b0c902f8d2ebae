"""The engines that train: what they can, and what they refuse."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from nashflow.components.core.errors import UserError
from nashflow.components.methods.iterative_dpo import IterativeDPO
from nashflow.components.scoring.groups import Group
from nashflow.components.training.data import PairData
from nashflow.components.training.engines import TRAINING_ENGINES, DeepSpeed, Torch
from nashflow.components.training.settings import TrainingSettings
from tests.fixtures import models

DATA = PairData([Group([0], ([7], [8]))] * 4, np.array([[1.0, -1.0]] * 4), {"000/main": np.zeros((4, 2))})


def test_torch_trains_the_policy_it_starts_from_in_float32(tmp_path: Path) -> None:
    folder, (phase,) = models.llama(tmp_path, dtype="bfloat16"), IterativeDPO().phases(1)
    settings = TrainingSettings(epochs=2, batch_size=2)
    settings.engine.check()
    trainer = settings.engine.open(folder, phase, DATA, settings, (0, 1, "main"))
    assert settings.engine == Torch()
    assert {parameter.dtype for parameter in trainer.model.parameters()} == {torch.float32}
    assert (trainer.phase, trainer.data, trainer.updates) == (phase, DATA, 4)


@pytest.mark.skipif(find_spec("deepspeed") is not None, reason="DeepSpeed is installed")
def test_deepspeed_is_refused_where_it_is_not_installed(tmp_path: Path) -> None:
    (phase,) = IterativeDPO().phases(1)
    settings = TrainingSettings.parse({"engine": "deepspeed"}, "x")
    settings.engine.check()
    line = r"^training\.engine: deepspeed is not installed here: install nashflow\[training\], or set training\.engine "
    with pytest.raises(UserError, match=line):
        settings.engine.open(tmp_path, phase, DATA, settings, (0,))


@pytest.mark.parametrize(
    ("engine", "advice"),
    [
        ({"zero": 0}, {"zero": 2}),
        ({"zero": 2, "offload": "parameters"}, {"zero": 3}),
        ({"zero": 0, "offload": "optimizer", "precision": "float32"}, {"zero": 2}),
        ({"precision": "float64"}, {"precision": "float32"}),
    ],
)
def test_what_deepspeed_cannot_is_refused_and_the_advice_works(engine: dict[str, Any], advice: dict[str, Any]) -> None:
    ((key, value),) = advice.items()
    with pytest.raises(UserError, match=rf"set {key} to {value}$|set it to {value}$"):
        DeepSpeed.parse(engine, "x")
    DeepSpeed.parse({**engine, **advice}, "x")


def test_an_engine_of_one_process_is_refused_several() -> None:
    with pytest.raises(UserError, match="engine torch trains in one process: set launcher to process"):
        TrainingSettings.parse({"launcher": "torchrun"}, "x")
    TrainingSettings.parse({"launcher": "process"}, "x")
    TrainingSettings.parse({"launcher": "torchrun", "engine": "deepspeed"}, "x")


def opt(folder: Path) -> Path:
    """A model whose layers drop out by themselves, and not by modules inside of them."""
    size = models.save_tokenizer(folder)
    config = transformers.OPTConfig(
        vocab_size=size, hidden_size=16, ffn_dim=32, num_hidden_layers=2, num_attention_heads=2, word_embed_proj_dim=16
    )
    return models.save_model(transformers.OPTForCausalLM, config, folder, 0, "float32")


@pytest.mark.parametrize(("made", "inner"), [(models.gpt2, "transformer.h.0.mlp"), (opt, "model.decoder.layers.0.fc1")])
def test_gradient_checkpointing_changes_no_gradient(made: Any, inner: str, tmp_path: Path) -> None:
    """With dropout in the folder, which stays off, and the layers computed once more."""
    folder, (phase,), found = made(tmp_path), IterativeDPO().phases(1), []
    for engine in (Torch(), Torch(gradient_checkpointing=True)):
        settings = TrainingSettings(epochs=1, batch_size=4, engine=engine)
        trainer = engine.open(folder, phase, DATA, settings, (0, 1, "main"))
        passes: list[Any] = []
        trainer.model.get_submodule(inner).register_forward_pre_hook(lambda *_, seen=passes: seen.append(1))
        trainer.update([0, 1, 2, 3])
        found.append(([parameter.detach() for parameter in trainer.model.parameters()], len(passes)))
    (plain, once), (kept, twice) = found
    assert twice == 2 * once
    assert all(torch.equal(*each) for each in zip(plain, kept, strict=True))


def test_what_the_engines_can() -> None:
    assert dict(TRAINING_ENGINES.members) == {"torch": Torch, "deepspeed": DeepSpeed}
    abilities = {
        kind: (engine.runtime, engine.several, engine().dtype) for kind, engine in TRAINING_ENGINES.members.items()
    }
    assert abilities == {
        "torch": ("steps", False, "float32"),
        "deepspeed": ("training", True, "bfloat16"),
    }
    assert Torch().model_dump() == "torch"  # as in recipes of before
    assert DeepSpeed(precision="float32", zero=0).dtype == "float32"
