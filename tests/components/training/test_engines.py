"""The engines that train: the default makes a trainer, DeepSpeed is not available here."""

from pathlib import Path

import numpy as np
import pytest
import torch

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


def test_deepspeed_is_refused_with_what_to_set_instead() -> None:
    (phase,) = IterativeDPO().phases(1)
    settings = TrainingSettings.parse({"engine": "deepspeed"}, "x")
    line = r"^training\.engine: deepspeed is not available here; set it to torch, and logprobs\.dtype to float32$"
    with pytest.raises(UserError, match=line):
        settings.engine.check()
    with pytest.raises(UserError, match=line):
        settings.engine.open(Path("policy"), phase, DATA, settings, (0,))


def test_what_the_engines_can() -> None:
    assert dict(TRAINING_ENGINES.members) == {"torch": Torch, "deepspeed": DeepSpeed}
    abilities = {
        kind: (engine.runtime, engine.several_nodes, engine.dtype) for kind, engine in TRAINING_ENGINES.members.items()
    }
    assert abilities == {"torch": ("steps", False, "float32"), "deepspeed": ("training", True, "bfloat16")}
