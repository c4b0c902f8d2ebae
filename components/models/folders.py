"""Model folders: check them, load them, save them. Safetensors only, never remote code."""

import json
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from ..core.digests import sha256_file
from ..core.errors import UserError
from .weights import shards

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
    from transformers.utils.quantization_config import QuantizationConfigMixin

Dtype = Literal["float32", "bfloat16", "float64"]
Names = Mapping[str, str]
"""Patterns in the names of a folder's tensors, and what stands for them in the names that transformers has."""
Load = Callable[[Path, Dtype], "PreTrainedModel"]
"""A function that opens a folder's language model in a precision: `load_causal_lm`, or one that opens each model
once."""

PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")
# Everything a tokenizer may consist of, and the generation settings: what a trained policy inherits unchanged.
INHERITED = (
    "tokenizer*.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "*.model",
    "*.tiktoken",
    "chat_template.*",
    "additional_chat_templates/*.jinja",
    "generation_config.json",
)


def settings_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of the configuration and of everything that the tokenizer consists of, by name."""
    paths = {path for pattern in ("config.json", *INHERITED) for path in folder.glob(pattern)}
    return {str(path.relative_to(folder)): sha256_file(path) for path in paths}


def check_model_folder(folder: Path, *, own_head: bool = False) -> None:
    """Refuse a folder that `load_causal_lm`, `load_classifier` or `load_body` must not or cannot open.

    `own_head`: its configuration may name custom code, which is for its head and is not run.

    Raises:
        UserError: one line that names the folder, what is wrong with it and what to do.
    """
    if not folder.is_dir():
        raise UserError(f"model folder {folder} does not exist or is not a folder")
    if adapters := sorted(folder.glob("adapter_*")):
        raise UserError(_adapter(folder, adapters[0].name))
    if not (folder / "config.json").is_file():
        raise UserError(f"model folder {folder} has no config.json: it is not a Hugging Face model folder")
    pickles = sorted({path.name for pattern in PICKLES for path in folder.glob(pattern)})
    weights = shards(folder)
    if not weights:
        found = f" (has {pickles[0]}: convert it)" if pickles else ""
        raise UserError(f"model folder {folder} has no *.safetensors weights{found}: save it with save_pretrained")
    if pickles:
        raise UserError(f"model folder {folder} holds pickle files, which can run code when read: remove {pickles}")
    for name in ("tokenizer_config.json",) if own_head else ("config.json", "tokenizer_config.json"):
        if "auto_map" in read_json(folder / name):
            raise UserError(f"model folder {folder} needs custom code (auto_map in {name}): it is never run")
    if _names_weights(read_json(folder / "config.json")):
        raise UserError(
            f"model folder {folder}: transformers_weights in config.json names another file of weights: remove it, and "
            "call that file model.safetensors"
        )
    listed = read_json(folder / "model.safetensors.index.json").get("weight_map", {}).values()
    if missing := sorted(set(listed) - {shard.name for shard in weights}):
        raise UserError(f"model folder {folder} lacks {missing[0]}, which model.safetensors.index.json names")


def _names_weights(value: Any) -> bool:
    """Whether a configuration, or one inside of it, says which file holds the weights."""
    if isinstance(value, Mapping):
        return "transformers_weights" in value or any(map(_names_weights, value.values()))
    return isinstance(value, list) and any(map(_names_weights, value))


def read_config(folder: Path) -> "PreTrainedConfig":
    """The folder's configuration, as transformers reads it.

    Raises:
        UserError: transformers cannot read it; one line that names the folder and what transformers says.
    """
    from transformers import AutoConfig, PreTrainedConfig

    with _one_line(folder):
        config: PreTrainedConfig = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        return config


def check_causal_lm(folder: Path) -> None:
    """Raise if `load_causal_lm` or `load_tokenizer` would, or if the two do not fit; no weights are read.

    Raises:
        UserError: one line that names the folder, what is wrong with it and what to do.
    """
    from transformers import AutoModelForCausalLM

    _check(AutoModelForCausalLM, folder, "language model")


def load_shapes(folder: Path) -> "PreTrainedModel":
    """The folder's language model on torch's device `meta`: its layers and their shapes, and no weights.

    Raises:
        UserError: as `check_causal_lm`.
    """
    from transformers import AutoModelForCausalLM

    with _one_line(folder):
        model: PreTrainedModel = _opened(AutoModelForCausalLM, folder, "float32", "language model", "meta")
    return model


def check_classifier(folder: Path) -> None:
    """As `check_causal_lm`, for `load_classifier`."""
    from transformers import AutoModelForSequenceClassification

    _check(AutoModelForSequenceClassification, folder, "sequence classifier")


def check_body(folder: Path, names: Names = MappingProxyType({})) -> None:
    """As `check_causal_lm`, for `load_body`."""
    from transformers import AutoModel

    _check(AutoModel, folder, "transformer", names)


def require_chat_template(folder: Path) -> None:
    """Raise if the folder's tokenizer has no chat template.

    Raises:
        UserError: there is no chat_template.jinja, no named template, and no entry in tokenizer_config.json.
    """
    files = [*folder.glob("chat_template.jinja"), *folder.glob("additional_chat_templates/*.jinja")]
    if not files and not read_json(folder / "tokenizer_config.json").get("chat_template"):
        raise UserError(f"the tokenizer in {folder} has no chat template: add a chat_template.jinja to the folder")


def load_tokenizer(folder: Path) -> "PreTrainedTokenizerBase":
    """The folder's tokenizer, without remote code.

    Raises:
        UserError: the folder holds no tokenizer.
    """
    from transformers import AutoTokenizer

    if not any(
        path for pattern in ("tokenizer.json", "*.model", "vocab.*", "*.tiktoken") for path in folder.glob(pattern)
    ):
        raise UserError(f"model folder {folder} has no tokenizer: add its tokenizer.json and tokenizer_config.json")
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )
    return tokenizer


def load_causal_lm(
    folder: Path, dtype: Dtype = "float32", quantization: "QuantizationConfigMixin | None" = None
) -> "PreTrainedModel":
    """The folder's language model, dropout off, on the accelerator if there is one.

    The folder's generation settings (top-k, repetition penalty, …) are dropped: what is sampled is what is scored.
    With a `quantization` its linear layers are quantised as they are read.

    Raises:
        UserError: as `check_model_folder`, or the folder's weights are not those of a language model.
    """
    from transformers import AutoModelForCausalLM, GenerationConfig

    model = _placed(_opened(AutoModelForCausalLM, folder, dtype, "language model", None, quantization=quantization))
    model.generation_config = GenerationConfig.from_dict({})
    return model


def load_classifier(folder: Path, dtype: Dtype = "float32") -> "PreTrainedModel":
    """The folder's sequence classifier (a reward model), dropout off, on the accelerator if there is one.

    Raises:
        UserError: as `check_model_folder`, or the folder's weights are not those of a sequence classifier.
    """
    from transformers import AutoModelForSequenceClassification

    return _load(AutoModelForSequenceClassification, folder, dtype, "sequence classifier")


def load_body(folder: Path, dtype: Dtype = "float32", names: Names = MappingProxyType({})) -> "PreTrainedModel":
    """The folder's model up to its last hidden states, dropout off, on the accelerator if there is one.

    Its head stays in the folder, and custom code for it is not run.

    Raises:
        UserError: as `check_model_folder`, or the folder's weights are not those of a transformer.
    """
    from transformers import AutoModel

    return _load(AutoModel, folder, dtype, "transformer", names)


def load_base(folder: Path, *, classifier: bool, layers: int | None) -> "PreTrainedModel":
    """A folder's model as the beginning of a judge, in float32, dropout off, on the accelerator if there is one.

    Args:
        folder: a language model's, or for a classifier a sequence classifier's too.
        classifier: whether the judge is a sequence classifier with one output, whose last layer is drawn from torch's
            random numbers if the folder has none.
        layers: use the lower layers alone, as many as this; None: all.

    Raises:
        UserError: as `load_causal_lm` or `load_classifier`, or the model has fewer layers.
    """
    return _placed(_base(folder, classifier, layers, None))


def check_base(folder: Path, *, classifier: bool, layers: int | None) -> None:
    """Raise if `load_base` or `load_tokenizer` would, or if the two do not fit; no weights are read.

    Raises:
        UserError: one line that names the folder, what is wrong with it and what to do.
    """
    with _one_line(folder):
        _check_vocabulary(_base(folder, classifier, layers, "meta"), folder)


def _base(folder: Path, classifier: bool, layers: int | None, device: Literal["meta"] | None) -> Any:
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    check_model_folder(folder)
    config = _with_layers(read_config(folder), folder, layers)
    if not classifier:
        return _opened(AutoModelForCausalLM, folder, "float32", "language model", device, config=config)
    config.num_labels = 1
    kind = "model with one output a sequence"
    return _opened(AutoModelForSequenceClassification, folder, "float32", kind, device, config=config, new_head=True)


def _with_layers(config: "PreTrainedConfig", folder: Path, layers: int | None) -> "PreTrainedConfig":
    if layers is not None:
        text = config.get_text_config()
        if layers > text.num_hidden_layers:
            raise UserError(
                f"layers is {layers}, and the model in {folder} has {text.num_hidden_layers}: lower it, or leave it out"
            )
        text.num_hidden_layers = layers
        if kinds := getattr(text, "layer_types", None):
            text.layer_types = kinds[:layers]
    return config


def save_policy(model: "PreTrainedModel", tokenizer_folder: Path, out: Path, dtype: Dtype) -> None:
    """Write `out`: the weights as safetensors in `dtype`, the tokenizer files of `tokenizer_folder` unchanged."""
    import torch

    _quieten()
    cast: dict[tuple[int, torch.Size], torch.Tensor] = {}
    state = {}
    for name, tensor in model.state_dict().items():
        converted = tensor.to(getattr(torch, dtype)) if tensor.is_floating_point() else tensor
        # Tied weights stay one tensor, so that transformers writes them once.
        state[name] = cast.setdefault((tensor.data_ptr(), tensor.shape), converted)
    model.save_pretrained(out, state_dict=state)
    config = read_json(out / "config.json") | {"dtype": dtype}
    (out / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    for path in sorted({path for pattern in INHERITED for path in tokenizer_folder.glob(pattern)}):
        target = out / path.relative_to(tokenizer_folder)
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, target)


def _load(auto: Any, folder: Path, dtype: Dtype, kind: str, names: Names | None = None) -> "PreTrainedModel":
    return _placed(_opened(auto, folder, dtype, kind, None, names))


def _placed(model: Any) -> "PreTrainedModel":
    import torch

    placed: PreTrainedModel = model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    return placed


def _check(auto: Any, folder: Path, kind: str, names: Names | None = None) -> None:
    with _one_line(folder):
        _check_vocabulary(_opened(auto, folder, "float32", kind, "meta", names), folder)


def _check_vocabulary(model: Any, folder: Path) -> None:
    rows = len(model.get_input_embeddings().weight)
    token, last = max(load_tokenizer(folder).get_vocab().items(), key=lambda entry: entry[1])
    if last >= rows:
        raise UserError(
            f"model folder {folder}: its tokenizer's last token is {token!r}, number {last}, but the model has "
            f"embeddings for 0 to {rows - 1} alone: call resize_token_embeddings({last + 1}) on the model and save it "
            "again, or put back the tokenizer that it was trained with"
        )


def _opened(
    auto: Any,
    folder: Path,
    dtype: Dtype,
    kind: str,
    device: Literal["meta"] | None,
    names: Names | None = None,
    config: "PreTrainedConfig | None" = None,
    *,
    new_head: bool = False,
    quantization: "QuantizationConfigMixin | None" = None,
) -> Any:
    """The folder's model; on the device `meta` its shapes alone, for which no weights are read. With `names`, its body
    alone.

    `config`: instead of the folder's; `new_head`: the weights may lack those above the model's body.
    """
    import torch

    check_model_folder(folder, own_head=names is not None)
    _quieten()
    model, info = auto.from_pretrained(
        folder,
        config=config,
        dtype=getattr(torch, dtype),
        device_map=device,
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        ignore_mismatched_sizes=True,  # they are refused below, in one line
        output_loading_info=True,
        key_mapping=dict(names) if names else None,
        **({"quantization_config": quantization} if quantization else {}),
    )
    heed_soft_cap(model)
    # transformers only warns, and goes on with random weights.
    body = f"{model.base_model_prefix}."
    if missing := sorted(name for name in info["missing_keys"] if not new_head or name.startswith(body)):
        raise UserError(f"model folder {folder} is not a {kind}: its weights lack {missing[0]}")
    for name, there, expected in sorted(info["mismatched_keys"]):
        raise UserError(
            f"model folder {folder}: {name} is {list(there)} in its weights and {list(expected)} by its config.json: "
            "put back the config.json that the weights were saved with"
        )
    return model


def heed_soft_cap(model: "PreTrainedModel") -> None:
    """Let a model with capped scores compute its attention with the cap: transformers' default leaves it out, and says
    nothing."""
    if getattr(model.config.get_text_config(), "attn_logit_softcapping", None):
        model.set_attn_implementation("eager")


@contextmanager
def _one_line(folder: Path) -> Iterator[None]:
    """What transformers says of a folder that it cannot open, as one line."""
    _quieten()
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # transformers and tokenizers raise whatever they like, bare Exceptions among it
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError(f"model folder {folder} cannot be opened by transformers: {reason}") from error


def _quieten() -> None:
    """No progress bars or load reports on stderr: what is wrong with a folder is raised, in one line."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity(logging.ERROR)


def _adapter(folder: Path, file: str) -> str:
    """What to do with the folder of an adapter."""
    config = read_json(folder / "adapter_config.json")
    base = config.get("base_model_name_or_path") or "another model"
    classifies = config.get("task_type") == "SEQ_CLS"
    peft = f"AutoPeftModelFor{'SequenceClassification' if classifies else 'CausalLM'}"
    return (
        f"model folder {folder} is an adapter of {base} (it has {file}), not a whole model: merge the two by peft's "
        f"{peft}.from_pretrained({str(folder)!r}).merge_and_unload().save_pretrained(NEW), save the tokenizer in the "
        "folder NEW too, and name that folder"
    )


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file, {} if there is no such file.

    Raises:
        UserError: the file holds no JSON object.
    """
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise UserError(f"{path} holds no JSON object")
    return value
