import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nashflow.components.core.errors import UserError
from nashflow.components.models.chat import prompt_ids, response_ids
from nashflow.components.models.folders import load_tokenizer
from tests.fixtures.models import BOS, CHAT_TEMPLATE, EOS, SPECIALS, save_tokenizer

ASSISTANT = SPECIALS.index("<|assistant|>")
USER = SPECIALS.index("<|user|>")
MESSAGES = [{"role": "user", "content": "a b"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(path)
    return path


@pytest.fixture
def tokenizer(folder):
    return load_tokenizer(folder)


def test_the_prompt_is_the_template_with_the_generation_prompt(tokenizer):
    ids = prompt_ids(tokenizer, MESSAGES)
    assert tokenizer.decode(ids) == "<|bos|><|user|>a b<|end|><|assistant|>"
    assert (ids[0], ids[1], ids[-1]) == (BOS, USER, ASSISTANT)


def test_a_conversation_keeps_its_turns(tokenizer):
    turns = [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
    ]
    text = "<|bos|><|system|>be kind<|end|><|user|>a<|end|><|assistant|>b<|end|><|user|>c<|end|><|assistant|>"
    assert tokenizer.decode(prompt_ids(tokenizer, turns)) == text


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_a_prompt_begins_with_exactly_one_bos_however_many_the_template_writes(tokenizer, count):
    expected = prompt_ids(tokenizer, MESSAGES)
    tokenizer.chat_template = "{{ bos_token }}" * count + CHAT_TEMPLATE.removeprefix("{{ bos_token }}")
    assert prompt_ids(tokenizer, MESSAGES) == expected
    assert expected.count(BOS) == 1


def test_a_tokenizer_without_bos_gets_none(tokenizer):
    tokenizer.bos_token = None
    ids = prompt_ids(tokenizer, MESSAGES)
    assert ids[0] == USER
    assert BOS not in ids


def test_a_bos_further_inside_is_left_alone(tokenizer):
    # A template that opens every turn with BOS, as Llama 2's does.
    tokenizer.chat_template = "{% for m in messages %}{{ bos_token + m['content'] }}{% endfor %}"
    ids = prompt_ids(tokenizer, [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}])
    assert tokenizer.decode(ids) == "<|bos|>a<|bos|>b"


def test_a_tokenizer_without_template_is_refused(tokenizer, folder):
    tokenizer.chat_template = None
    with pytest.raises(UserError, match="has no chat template") as caught:
        prompt_ids(tokenizer, MESSAGES)
    assert str(folder) in str(caught.value)


def test_messages_that_the_template_refuses_are_the_users_error(tokenizer):
    tokenizer.chat_template = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(UserError, match="refuses a prompt: roles must alternate"):
        prompt_ids(tokenizer, MESSAGES)


def test_a_given_response_ends_with_the_asked_eos_and_has_no_bos(tokenizer):
    ids = response_ids(tokenizer, "a b", EOS)
    assert ids[-1] == EOS
    assert tokenizer.decode(ids[:-1]) == "a b"
    assert BOS not in ids


def test_an_empty_response_is_its_eos(tokenizer):
    assert response_ids(tokenizer, "", EOS) == [EOS]


def test_the_name_of_a_special_token_in_a_response_is_text(tokenizer):
    ids = response_ids(tokenizer, "x<|end|>y", EOS)
    assert ids.count(EOS) == 1
    assert tokenizer.decode(ids, skip_special_tokens=True) == "x<|end|>y"


@settings(max_examples=50, deadline=None)
@given(text=st.text())
def test_any_text_survives_the_round_trip(folder, text):
    tokenizer = load_tokenizer(folder)
    ids = response_ids(tokenizer, text, EOS)
    decoded = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    assert decoded == text
