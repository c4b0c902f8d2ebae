import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from nashflow.components.core.errors import UserError
from nashflow.components.models.dialogues import Dialogues
from nashflow.components.models.folders import (
    check_causal_lm,
    check_classifier,
    check_model_folder,
    load_causal_lm,
    load_classifier,
    load_tokenizer,
    require_chat_template,
    save_policy,
)
from nashflow.components.models.weights import weights_digest
from tests.fixtures import models

WORDS = ("a", "b", "c", "d")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return models.llama(tmp_path_factory.mktemp("llama"), WORDS)


@pytest.fixture
def folder(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "model"))


def logits(model, ids=(0, 7, 8, 9)):
    with torch.inference_mode():
        return model(torch.tensor([ids])).logits


def test_a_loaded_model_is_in_evaluation_mode_in_the_asked_dtype(folder):
    for dtype in ("float32", "bfloat16", "float64"):
        model = load_causal_lm(folder, dtype)
        assert model.dtype == getattr(torch, dtype)
        assert not model.training


def test_float64_and_float32_agree_and_bfloat16_nearly(folder):
    exact = logits(load_causal_lm(folder, "float64"))
    torch.testing.assert_close(logits(load_causal_lm(folder, "float32")).double(), exact, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(logits(load_causal_lm(folder, "bfloat16")).double(), exact, rtol=0.1, atol=0.3)


def test_the_folders_generation_settings_do_not_reach_the_model(folder):
    path = folder / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"repetition_penalty": 5.0, "top_k": 1}))
    loaded = load_causal_lm(folder).generation_config
    assert loaded.repetition_penalty in (None, 1.0)
    assert loaded.top_k != 1


def test_a_classifier_gives_one_logit_a_sequence(tmp_path):
    model = load_classifier(models.classifier(tmp_path, WORDS))
    assert logits(model).shape == (1, 1)
    assert not model.training


def test_weights_of_another_kind_of_model_are_refused(folder, tmp_path):
    with pytest.raises(UserError, match=r"is not a sequence classifier: its weights lack score\.weight"):
        load_classifier(folder)
    with pytest.raises(UserError, match=r"is not a language model: its weights lack lm_head\.weight"):
        load_causal_lm(models.classifier(tmp_path / "reward", WORDS))


def remove_folder(folder):
    shutil.rmtree(folder)


def remove_config(folder):
    (folder / "config.json").unlink()


def remove_weights(folder):
    (folder / "model.safetensors").unlink()


def replace_weights_by_a_pickle(folder):
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    remove_weights(folder)


def add(name):
    def add_file(folder):
        (folder / name).write_bytes(b"\x80\x04")

    return add_file


def set_key(name, key, value):
    def change(folder):
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))

    return change


def break_config(folder):
    (folder / "config.json").write_text("{")


def config_of_a_list(folder):
    (folder / "config.json").write_text("[]")


def index_with_a_missing_shard(folder):
    index = {"weight_map": {"x": "model.safetensors", "y": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (remove_folder, "does not exist or is not a folder"),
        (remove_config, "has no config.json"),
        (remove_weights, r"has no \*\.safetensors weights: save it with save_pretrained"),
        (replace_weights_by_a_pickle, r"has no \*\.safetensors weights \(has pytorch_model\.bin: convert it\)"),
        *((add(f"weights{end}"), rf"remove \['weights\{end}'\]") for end in (".bin", ".pt", ".pth", ".ckpt", ".pkl")),
        (set_key("config.json", "auto_map", {"AutoModel": "x.Y"}), r"custom code \(auto_map in config\.json\)"),
        (
            set_key("tokenizer_config.json", "auto_map", {"AutoTokenizer": ["x.Y", None]}),
            "auto_map in tokenizer_config",
        ),
        (break_config, r"config\.json is not valid JSON"),
        (config_of_a_list, r"config\.json holds no JSON object"),
        (index_with_a_missing_shard, "lacks model-00002-of-00002.safetensors"),
    ],
)
def test_a_bad_folder_is_refused_in_one_line_that_names_it(folder, spoil, reason):
    check_model_folder(folder)
    spoil(folder)
    with pytest.raises(UserError, match=reason) as caught:
        load_causal_lm(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_pickle_is_never_opened(folder):
    class Bomb:
        def __reduce__(self):
            return (os.mkdir, (str(folder / "exploded"),))

    torch.save(Bomb(), folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="pickle"):
        load_causal_lm(folder)
    assert not (folder / "exploded").exists()


def test_a_folder_without_a_tokenizer_is_refused(folder):
    (folder / "tokenizer.json").unlink()
    with pytest.raises(UserError, match="has no tokenizer"):
        load_tokenizer(folder)


def damage_tokenizer(folder):
    (folder / "tokenizer.json").write_text('{"version": "1.0", "model": {"type": "Clairvoyant"}}')


def rename_weights(folder):
    (folder / "model.safetensors").rename(folder / "consolidated.safetensors")


def add_token(folder):
    tokenizer = load_tokenizer(folder)
    tokenizer.add_tokens(["<|turn|>"], special_tokens=True)
    tokenizer.save_pretrained(folder)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (set_key("config.json", "model_type", "llama-of-tomorrow"), "llama-of-tomorrow"),
        (damage_tokenizer, " cannot be opened by transformers: "),
        (rename_weights, " cannot be opened by transformers: Error no file named model.safetensors found"),
        (lambda folder: (folder / "tokenizer.json").unlink(), " has no tokenizer"),
        (
            set_key("config.json", "num_hidden_layers", 3),
            " is not a language model: its weights lack model.layers.2.input_layernorm.weight",
        ),
        (
            set_key("config.json", "vocab_size", 12),
            ": lm_head.weight is [11, 64] in its weights and [12, 64] by its config.json: put back the config.json "
            "that the weights were saved with",
        ),
        (
            add_token,
            ": its tokenizer's last token is '<|turn|>', number 11, but the model has embeddings for 0 to 10 alone: "
            "call resize_token_embeddings(12) on the model and save it again, or put back the tokenizer that it was "
            "trained with",
        ),
    ],
)
def test_what_would_not_open_is_refused_in_one_line_before_weights_are_read(folder, spoil, reason):
    check_causal_lm(folder)
    spoil(folder)
    check_model_folder(folder)
    with pytest.raises(UserError) as caught:
        check_causal_lm(folder)
    assert str(caught.value).startswith(f"model folder {folder}")
    assert reason in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_embeddings_that_were_resized_as_advised_fit_the_tokenizer(folder):
    add_token(folder)
    model = load_causal_lm(folder)
    model.resize_token_embeddings(12)
    model.save_pretrained(folder)
    check_causal_lm(folder)


def test_a_classifier_is_no_language_model_and_the_other_way_round(folder, tmp_path):
    reward = models.classifier(tmp_path / "reward", WORDS)
    check_classifier(reward)
    with pytest.raises(UserError, match=r"is not a sequence classifier: its weights lack score\.weight"):
        check_classifier(folder)
    with pytest.raises(UserError, match=r"is not a language model: its weights lack lm_head\.weight"):
        check_causal_lm(reward)


@pytest.mark.parametrize(("task", "name"), [("CAUSAL_LM", "CausalLM"), ("SEQ_CLS", "SequenceClassification")])
def test_an_adapter_is_told_from_a_model_whatever_lies_beside_it(folder, task, name):
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "task_type": task, "base_model_name_or_path": "someone/base"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(UserError) as caught:
        check_model_folder(folder)
    assert str(caught.value) == (
        f"model folder {folder} is an adapter of someone/base (it has adapter_config.json), not a whole model: merge "
        f"the two by peft's AutoPeftModelFor{name}.from_pretrained('{folder}').merge_and_unload().save_pretrained(NEW),"
        " save the tokenizer in the folder NEW too, and name that folder"
    )


def test_a_chat_template_is_found_in_its_own_file_among_named_ones_or_in_the_tokenizers_settings(folder):
    require_chat_template(folder)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(UserError, match="has no chat template"):
        require_chat_template(folder)
    tokenizer = load_tokenizer(folder)
    tokenizer.chat_template = {"rag": models.CHAT_TEMPLATE}
    tokenizer.save_pretrained(folder)
    require_chat_template(folder)
    shutil.rmtree(folder / "additional_chat_templates")
    set_key("tokenizer_config.json", "chat_template", models.CHAT_TEMPLATE)(folder)
    require_chat_template(folder)
    assert Dialogues(load_tokenizer(folder)).prompt([{"role": "user", "content": "a"}])[0] == models.BOS


@pytest.mark.parametrize("make", [models.llama, models.gpt2])
def test_a_saved_policy_loads_with_the_same_outputs(make, tmp_path):
    start = make(tmp_path / "start", WORDS)
    model = load_causal_lm(start)
    save_policy(model, start, tmp_path / "out", "float32")
    torch.testing.assert_close(logits(load_causal_lm(tmp_path / "out")), logits(model), rtol=0, atol=0)
    assert weights_digest(tmp_path / "out") == weights_digest(start)
    check_model_folder(tmp_path / "out")
    ids = Dialogues(load_tokenizer(tmp_path / "out")).prompt([{"role": "user", "content": "a b"}])
    assert ids == Dialogues(load_tokenizer(start)).prompt([{"role": "user", "content": "a b"}])


@pytest.mark.parametrize("make", [models.llama, models.gpt2])
def test_a_policy_saved_in_bfloat16_leaves_the_trained_one_as_it_is(make, tmp_path):
    start = make(tmp_path / "start", WORDS)
    model = load_causal_lm(start)
    before = logits(model)
    save_policy(model, start, tmp_path / "out", "bfloat16")
    assert torch.equal(logits(model), before)
    assert model.dtype == torch.float32
    saved = load_file(tmp_path / "out" / "model.safetensors")
    assert {tensor.dtype for tensor in saved.values()} == {torch.bfloat16}
    assert saved.keys() == load_file(start / "model.safetensors").keys()  # tied weights are written once
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == "bfloat16"
    assert torch.equal(logits(load_causal_lm(tmp_path / "out", "bfloat16")), logits(load_causal_lm(start, "bfloat16")))


def test_a_saved_policy_inherits_the_tokenizer_and_generation_settings_byte_by_byte(folder, tmp_path):
    # Settings that transformers itself would refuse to save.
    set_key("generation_config.json", "temperature", 0.6)(folder)
    set_key("generation_config.json", "eos_token_id", [1, 9])(folder)
    (folder / "README.md").write_text("not inherited")
    save_policy(load_causal_lm(folder), folder, tmp_path / "out", "float32")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"):
        assert (tmp_path / "out" / name).read_bytes() == (folder / name).read_bytes()
    assert not (tmp_path / "out" / "README.md").exists()
    assert Dialogues(load_tokenizer(tmp_path / "out")).stop_ids == [1, 9]
