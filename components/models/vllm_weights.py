"""How vLLM opens a folder whose configuration names the custom code of a head: as the causal model below that head."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..core.errors import UserError
from .folders import read_config


def causal_architecture(folder: Path, setting: str) -> str:
    """The class of causal language models of a folder's model type.

    Raises:
        UserError: vLLM has none; `setting` is what asks for vLLM.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    from vllm import ModelRegistry

    kind = read_config(folder).model_type
    name = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(kind)
    if not isinstance(name, str) or name not in ModelRegistry.get_supported_archs():
        raise UserError(
            f"{setting}: vllm has no hidden states of the {kind} model in {folder}: set {setting} to transformers"
        )
    return name


def load_format_without(head: Sequence[str]) -> str:
    """A `load_format` that reads safetensors without these tensors, of which vLLM's model knows nothing."""
    from vllm.model_executor.model_loader import register_model_loader
    from vllm.model_executor.model_loader.default_loader import DefaultModelLoader

    class WithoutHead(DefaultModelLoader):  # type: ignore[misc]
        def __init__(self, load_config: Any) -> None:
            super().__init__(replace(load_config, load_format="safetensors"))

        def get_all_weights(self, *arguments: Any) -> Iterator[tuple[str, Any]]:
            return ((name, tensor) for name, tensor in super().get_all_weights(*arguments) if name not in head)

    register_model_loader(_FORMAT)(WithoutHead)
    return _FORMAT


_FORMAT = "nashflow"
