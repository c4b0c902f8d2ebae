"""Dialogues as token ids: what the template says, texts that are texts, ends of turns, dates, what is lost."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nashflow.components.core.errors import UserError
from nashflow.components.models.dialogues import Dialogues, PolicyTemplate, TemplateSettings
from nashflow.components.models.folders import load_tokenizer
from nashflow.components.storage.records import Message
from tests.fixtures import families, models
from tests.fixtures.families import FAMILIES

FIRST, ANSWER = "Hi, a she", "So a he."
TURNS = ((FIRST, ANSWER), ("And\n\nnow? ü",))


def dialogue(*contents: str, system: str = "") -> list[Message]:
    """Turns of a user and an assistant in alternation."""
    turns = [Message(role=("user", "assistant")[at % 2], content=text) for at, text in enumerate(contents)]
    return [Message(role="system", content=system), *turns] if system else turns


def own(dialogues: Dialogues, messages: Sequence[Message], *, prompting: bool = True) -> list[int]:
    """The tokenizer's own `apply_chat_template`."""
    ids: Any = dialogues.tokenizer.apply_chat_template(
        list(messages), add_generation_prompt=prompting, tokenize=True, return_dict=False
    )
    return list(ids)


def of(tmp_path: Path, template: str, **options: Any) -> Dialogues:
    """Dialogues of a plain tokenizer with some template."""
    models.save_tokenizer(tmp_path, chat_template=template)
    return Dialogues(load_tokenizer(tmp_path), **options)


@pytest.fixture(scope="module", params=FAMILIES, ids=lambda make: make.__name__)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Dialogues:
    return Dialogues(load_tokenizer(request.param(tmp_path_factory.mktemp("family"))))


# --- the template decides --------------------------------------------------------------------------------------------


def test_ids_are_those_of_the_tokenizers_own_template(family: Dialogues) -> None:
    asked = dialogue(FIRST, ANSWER, "And\n\nnow? ü <think> 8</think>")
    assert family.prompt(asked) == own(family, asked)
    assert family.whole(asked[:2]) == own(family, asked[:2], prompting=False)


@pytest.mark.parametrize(
    ("make", "begins"),
    [
        (families.yi, ["<|im_start|>"]),
        (families.qwen, ["<|im_start|>"]),
        (families.smollm, ["<|im_start|>"]),
        (families.mistral, ["<s>"]),
        (families.zephyr, ["▁<", "|"]),
    ],
)
def test_a_bos_is_there_as_often_as_the_template_writes_it(
    make: families.Make, begins: list[str], tmp_path: Path
) -> None:
    tokenizer = load_tokenizer(make(tmp_path))
    ids = Dialogues(tokenizer).prompt(dialogue(FIRST))
    assert tokenizer.convert_ids_to_tokens(ids)[: len(begins)] == begins
    assert ids[1] != tokenizer.bos_token_id


def test_a_bos_that_opens_every_turn_stays_in_every_turn(tmp_path: Path) -> None:
    dialogues = Dialogues(load_tokenizer(families.smollm(tmp_path)))
    assert dialogues.opens_turns
    assert dialogues.whole(dialogue("a", "b", "c")).count(1) == 3


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_a_bos_that_is_written_twice_at_the_beginning_is_written_once(count: int, tmp_path: Path) -> None:
    dialogues = of(tmp_path, "{{ bos_token }}" * count + models.CHAT_TEMPLATE.removeprefix("{{ bos_token }}"))
    assert not dialogues.opens_turns
    for ids in (dialogues.prompt(dialogue("a")), dialogues.whole(dialogue("a", "b"))):
        assert ids.count(models.BOS) == min(count, 1)


def test_prompts_that_a_model_is_sent_begin_as_the_template_has_it(family: Dialogues) -> None:
    asked, bos = dialogue(FIRST, ANSWER, "<s> too"), family.tokenizer.bos_token_id
    sent = family.prompt(asked)
    family.require_bos(asked, sent)
    others = [] if bos is None else [[bos, *sent], *([sent[1:]] if sent[0] == bos else [])]
    for ids in others:
        with pytest.raises(UserError, match="at the beginning of a prompt, where its chat template has it"):
            family.require_bos(asked, ids)


def test_a_template_of_one_message_opens_no_further_turns(tmp_path: Path) -> None:
    one = "{{ raise_exception('one message only') if messages[1:] else bos_token + messages[0]['content'] }}"
    assert not of(tmp_path, one).opens_turns


def test_a_tokenizer_without_template_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"the tokenizer in {tmp_path} has no chat template"):
        of(tmp_path, "")


def test_messages_that_the_template_refuses_are_the_users_error(tmp_path: Path) -> None:
    dialogues = of(tmp_path, "{{ messages[0]['name'] + 1 }}")
    with pytest.raises(UserError, match=f"the chat template in {tmp_path} refuses a dialogue: "):
        dialogues.prompt(dialogue("a"))


# --- text is text ----------------------------------------------------------------------------------------------------


def quoting(dialogues: Dialogues) -> list[str]:
    """Texts that hold the names of all special tokens: between blanks, in a row, and amid words."""
    added = dialogues.tokenizer.added_tokens_decoder.values()
    names = [token.content for token in added if token.content not in ("<think>", "</think>")]
    return list({" ".join(names), "".join(names), *(f"x{name} y" for name in names)})


def test_the_names_of_special_tokens_are_text_in_prompts_answers_and_judges_inputs(family: Dialogues) -> None:
    tokenizer = family.tokenizer
    names = {token.content: index for index, token in tokenizer.added_tokens_decoder.items()}
    ids = [index for name, index in names.items() if name not in ("<think>", "</think>")]

    def specials(encoded: list[int]) -> list[int]:
        return [token for token in encoded if token in ids]

    plain = dialogue("Tell me.", "I tell you.")
    for text in quoting(family):
        told = dialogue(text, text)
        assert specials(family.prompt(told[:1])) == specials(family.prompt(plain[:1]))
        assert specials(family.whole(told)) == specials(family.whole(plain))
        answer = family.answer(told[:1], text)
        assert specials(answer) == answer[-1:]
        assert text in tokenizer.decode(answer)
        assert text in tokenizer.decode(family.prompt(told[:1]))


def test_two_answers_are_never_read_as_one(family: Dialogues) -> None:
    texts = ["Price: 10 8", *(f"Price: {name}10 8" for name in quoting(family))]
    read = [tuple(family.whole(dialogue("Strike it out.", text))) for text in texts]
    assert len(set(read)) == len(texts)


def test_a_word_of_the_vocabulary_that_is_a_special_token_is_text(tmp_path: Path) -> None:
    models.save_tokenizer(tmp_path, ["a", "b", "<|user|>", "user"])
    dialogues = Dialogues(load_tokenizer(tmp_path))
    assert models.EOS not in dialogues.answer(dialogue("a"), "a <|end|> b")[:-1]


def test_noncharacters_are_refused_where_they_would_be_misread(tmp_path: Path) -> None:
    dialogues = of(tmp_path, models.CHAT_TEMPLATE)
    assert dialogues.prompt(dialogue("\ufdd00\ufdd1"))
    with pytest.raises(UserError, match=r"U\+FDD0 to U\+FDD3, which Unicode says are no characters"):
        dialogues.prompt(dialogue("\ufdd00\ufdd1 <|end|>"))


@settings(max_examples=50, deadline=None)
@given(text=st.text().filter(lambda text: not any("\ufdd0" <= letter <= "\ufdd3" for letter in text)))
def test_any_answer_survives_the_round_trip(plain: Dialogues, text: str) -> None:
    ids = plain.answer(dialogue("a"), text)
    assert plain.tokenizer.decode(ids[:-1], clean_up_tokenization_spaces=False) == text


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Dialogues:
    return of(tmp_path_factory.mktemp("plain"), models.CHAT_TEMPLATE)


# --- answers and their ends ------------------------------------------------------------------------------------------


def test_a_given_answer_is_what_the_template_makes_of_it(family: Dialogues) -> None:
    asked = dialogue(FIRST)
    prompt, answer = family.prompt(asked), family.answer(asked, ANSWER)
    whole = own(family, dialogue(FIRST, ANSWER), prompting=False)
    assert prompt + answer[:-1] == whole[: len(prompt + answer) - 1]
    assert family.tokenizer.decode(answer[:-1]).strip() == ANSWER


def test_an_answer_stands_by_itself_where_the_tokenizer_would_merge_it_with_the_prompt(tmp_path: Path) -> None:
    dialogues = Dialogues(load_tokenizer(families.qwen(tmp_path)))
    prompt, answer = dialogues.prompt(dialogue("a")), dialogues.answer(dialogue("a"), "\nb")
    assert dialogues.tokenizer.convert_ids_to_tokens([prompt[-1], *answer]) == ["Ċ", "Ċ", "b", "<|im_end|>"]


@pytest.mark.parametrize(
    ("make", "end", "stops"),
    [
        (families.llama_3, "<|eot_id|>", ["<|end_of_text|>", "<|eot_id|>"]),
        (families.qwen, "<|im_end|>", ["<|endoftext|>", "<|im_end|>"]),
        (families.gemma, "<end_of_turn>", ["<eos>", "<end_of_turn>"]),
        (families.phi_3, "<|end|>", ["<|endoftext|>", "<|end|>"]),
        (families.gpt_2, "<|endoftext|>", ["<|endoftext|>"]),
        (families.llama_2, "</s>", ["</s>"]),
    ],
)
def test_answers_end_as_the_template_ends_them(make: families.Make, end: str, stops: list[str], tmp_path: Path) -> None:
    tokenizer = load_tokenizer(make(tmp_path))
    dialogues = Dialogues(tokenizer)
    assert tokenizer.convert_ids_to_tokens(dialogues.answer(dialogue("a"), "")[-1]) == end
    assert tokenizer.convert_ids_to_tokens(dialogues.stop_ids) == stops


@pytest.mark.parametrize(
    ("generation", "config", "expected"),
    [
        (9, 8, [1, 8, 9]),
        ([9, 1, 9], None, [1, 9]),
        ([], None, [1]),
        (None, [7], [1, 7]),
        (None, None, [1]),
    ],
)
def test_all_places_that_name_stop_tokens_count(
    generation: Any, config: Any, expected: list[int], tmp_path: Path
) -> None:
    models.save_tokenizer(tmp_path)
    for name, value in (("generation_config.json", generation), ("config.json", config)):
        (tmp_path / name).write_text(json.dumps({"eos_token_id": value}))
    assert Dialogues(load_tokenizer(tmp_path)).stop_ids == expected


def test_the_models_stop_token_ends_answers_where_neither_template_nor_tokenizer_has_one(tmp_path: Path) -> None:
    dialogues = of(tmp_path, "{% for m in messages %}{{ m['content'] }}{% endfor %}")
    dialogues.tokenizer.eos_token = None
    (tmp_path / "config.json").write_text('{"text_config": {"eos_token_id": 9}}')
    assert (dialogues.stop_ids, dialogues.answer(dialogue("a"), "b")[-1]) == ([9], 9)


def test_a_model_without_a_stop_token_is_refused(tmp_path: Path) -> None:
    dialogues = of(tmp_path, "{% for m in messages %}{{ m['content'] }}{% endfor %}")
    dialogues.tokenizer.eos_token = None
    with pytest.raises(UserError, match=f"the model in {tmp_path} has no end-of-sequence token"):
        _ = dialogues.stop_ids


def test_a_stop_token_that_is_named_by_its_text_is_refused(tmp_path: Path) -> None:
    models.save_tokenizer(tmp_path)
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": "<|end|>"}')
    with pytest.raises(UserError, match=r"eos_token_id names '<\|end\|>': write the token's number instead"):
        _ = Dialogues(load_tokenizer(tmp_path)).stop_ids


# --- named templates, arguments, dates -------------------------------------------------------------------------------


def several(tmp_path: Path, *names: str, template: str = "", section: str = "policy") -> Dialogues:
    models.save_tokenizer(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    tokenizer.chat_template = {name: f"{name}: {{{{ messages[0]['content'] }}}}" for name in names}
    return Dialogues(tokenizer, TemplateSettings(template=template), section=section)


def test_of_several_templates_the_default_is_used_or_the_one_that_is_named(tmp_path: Path) -> None:
    names = ("default", "rag")
    for template, used in (("", "default"), ("rag", "rag"), ("default", "default")):
        dialogues = several(tmp_path, *names, template=template)
        assert dialogues.tokenizer.decode(dialogues.prompt(dialogue("a"))) == f"{used}: a"


def test_a_template_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"several chat templates .* set policy.template to one of rag, tools"):
        several(tmp_path, "tools", "rag")
    with pytest.raises(UserError, match=r"oracle.template: .* has no template 'x': set it to one of rag, tools"):
        several(tmp_path, "tools", "rag", template="x", section="oracle")
    with pytest.raises(UserError, match=r"policy.template is 'x', but .* has one template: remove it"):
        of(tmp_path, models.CHAT_TEMPLATE, settings=TemplateSettings(template="x"))


def test_arguments_are_passed_to_the_template(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(families.qwen(tmp_path))
    silent = Dialogues(tokenizer, TemplateSettings(template_arguments={"enable_thinking": False}))
    expected: Any = tokenizer.apply_chat_template(
        dialogue("a"), add_generation_prompt=True, return_dict=False, enable_thinking=False
    )
    assert silent.prompt(dialogue("a")) == expected
    assert silent.prompt(dialogue("a")) != Dialogues(tokenizer).prompt(dialogue("a"))
    with pytest.raises(UserError, match="template_arguments: tokenize is set by NashFlow: remove it"):
        TemplateSettings.parse({"template_arguments": {"tokenize": True}}, "policy")


def test_a_template_that_writes_the_date_gets_the_runs(tmp_path: Path) -> None:
    dated = of(tmp_path, "{{ strftime_now('%d %b %Y') }}{{ messages[0]['content'] }}", day="2031-02-28")
    assert dated.tokenizer.decode(dated.prompt(dialogue("a"))) == "28 Feb 2031a"
    with pytest.raises(UserError, match="writes the date, and the run has none: run its preparation again"):
        Dialogues(dated.tokenizer).prompt(dialogue("a"))


def test_steps_read_the_template_from_any_policy() -> None:
    known = {"kind": "folder", "model": "m", "template": "rag", "template_arguments": {"a": 1}}
    assert PolicyTemplate.model_validate(known).template == "rag"
    assert PolicyTemplate.model_validate("theirs") == PolicyTemplate()


# --- nothing is lost -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", FAMILIES)
def test_dialogues_that_are_kept_whole_are_accepted(make: families.Make, tmp_path: Path) -> None:
    dialogues = Dialogues(load_tokenizer(make(tmp_path)))
    for asked in (dialogue(" a\n"), dialogue(FIRST, ANSWER), dialogue(FIRST, ANSWER, "a"), dialogue("<s> </s>")):
        dialogues.require_whole(asked)


@pytest.mark.parametrize("filter", ["escape", "tojson", "tojson(ensure_ascii=True)", "replace('<', '&lt;')"])
def test_templates_that_escape_what_is_said_lose_nothing(filter: str, tmp_path: Path) -> None:
    dialogues = of(tmp_path, "{% for m in messages %}{{ m['role'] }}: {{ m['content'] | " + filter + " }}{% endfor %}")
    dialogues.require_whole(dialogue("if (a < b) {\n\treturn 'ü 😀'; }", '\\n "said" <b>he</b>', "C:\\new &c."))
    dialogues.require_whole(dialogue(FIRST, ANSWER))


PARTS = (
    "{% for m in messages %}{{ m['role'] }}:{% for part in m['content'] %}{% if part['type'] == 'text' %}"
    "{{ part['text'] }}{% endif %}{% endfor %}{% endfor %}"
)
SHORT = "{% for m in messages %}{{ m['role'] + m['content'][:20] }}{% endfor %}"
STRIPPED = "{% for m in messages %}{{ m['role'] + (m['content'] | striptags | escape) }}{% endfor %}"
ELSE = (
    "{% for m in messages %}{% if m['role'] == 'user' %}[{{ m['content'] }}]{% else %}{{ m['content'] }}{% endif %}"
    "{% endfor %}"
)


@pytest.mark.parametrize(
    ("template", "messages", "line"),
    [
        (families.ZEPHYR, [Message(role="human", content="a")], "leaves out what the human says"),
        (families.LLAMA_2, dialogue("a", system="Be kind."), "leaves out what the system says"),
        (families.GEMMA, dialogue("a", system="Be kind."), "refuses a dialogue: System role not supported"),
        (PARTS, dialogue("a"), "leaves out what the user says"),
        (SHORT, dialogue("a" * 21), "leaves out a part of what the user says"),
        (STRIPPED, dialogue("<b>a</b>"), "leaves out a part of what the user says"),
        (ELSE, dialogue("a", "b", system="Be kind."), "does not know the role 'system'"),
    ],
)
def test_what_a_template_loses_is_said(template: str, messages: list[Message], line: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"the chat template in {tmp_path} {line}"):
        of(tmp_path, template).require_whole(messages)
