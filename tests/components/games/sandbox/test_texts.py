import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.games.sandbox.texts import context_index, prompt_messages, response_index, response_text
from nashflow.components.games.sandbox.world import CONTEXTS, RESPONSES


def test_prompts_name_their_context() -> None:
    prompts = [prompt_messages(context) for context in range(CONTEXTS)]
    assert [context_index(prompt) for prompt in prompts] == list(range(CONTEXTS))
    assert prompts[3] == [{"role": "user", "content": "x3"}]


def test_texts_and_responses_correspond() -> None:
    texts = [response_text(index) for index in range(len(RESPONSES))]
    assert [response_index(text) for text in texts] == list(range(25))
    assert texts[:2] == ["a a", "a b"]
    assert texts[24] == "e e"


@pytest.mark.parametrize("text", ["", "a", "ab", "a b c", " a b", "a  b", "a f", "A B", "a b\n"])
def test_a_malformed_text_is_no_response(text: str) -> None:
    assert response_index(text) is None


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [{"role": "user", "content": "x8"}],
        [{"role": "user", "content": "Write a poem."}],
        [{"role": "user", "content": "x1"}, {"role": "assistant", "content": "a b"}],
    ],
)
def test_a_prompt_from_elsewhere_is_refused(messages: list[dict[str, str]]) -> None:
    with pytest.raises(UserError, match=r"not of the sandbox world.*choose another oracle"):
        context_index(messages)
