from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerBase

from nashflow.components.games.sandbox.texts import prompt_messages, response_text
from nashflow.components.games.sandbox.tokenizer import VOCABULARY, write_tokenizer
from nashflow.components.games.sandbox.world import CONTEXTS, RESPONSES
from nashflow.components.models.dialogues import Dialogues
from nashflow.components.models.folders import load_tokenizer, require_chat_template


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder)
    return folder


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    return load_tokenizer(folder)


def test_it_is_a_complete_tokenizer_folder(folder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    require_chat_template(folder)
    assert len(tokenizer) == len(VOCABULARY) == len(set(VOCABULARY))
    assert tokenizer.convert_ids_to_tokens(list(range(len(VOCABULARY)))) == list(VOCABULARY)
    ids = [tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.unk_token_id]
    assert ids == [0, 1, 2, 3]


def test_a_prompt_has_one_bos_and_one_token_for_its_context(tokenizer: PreTrainedTokenizerBase) -> None:
    for context in range(CONTEXTS):
        messages = prompt_messages(context)
        tokens = tokenizer.convert_ids_to_tokens(Dialogues(tokenizer).prompt(messages))
        assert tokens == ["<s>", "<user>", f"x{context}", "<assistant>"]
        raw = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        assert raw.count(tokenizer.bos_token_id) == 1


def test_a_conversation_goes_on_where_the_prompt_ended(tokenizer: PreTrainedTokenizerBase) -> None:
    messages = [*prompt_messages(5), {"role": "assistant", "content": response_text(8)}]
    whole = tokenizer.apply_chat_template(messages, return_dict=False)
    prompt = Dialogues(tokenizer).prompt(messages[:1])
    assert whole == prompt + Dialogues(tokenizer).answer(messages[:1], response_text(8))


def test_responses_survive_the_way_to_tokens_and_back(tokenizer: PreTrainedTokenizerBase) -> None:
    for index in range(len(RESPONSES)):
        ids = Dialogues(tokenizer).answer(prompt_messages(0), response_text(index))
        assert len(ids) == 3
        assert tokenizer.decode(ids, skip_special_tokens=True) == response_text(index)


def test_unknown_words_become_the_unknown_token(tokenizer: PreTrainedTokenizerBase) -> None:
    assert tokenizer.encode("a poem", add_special_tokens=False) == [VOCABULARY.index("a"), tokenizer.unk_token_id]


def test_the_same_files_each_time(folder: Path, tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert files == {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(files) >= {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}
