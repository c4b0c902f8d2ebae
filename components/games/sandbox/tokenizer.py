"""The sandbox's tokenizer: a real Hugging Face tokenizer folder, made on the spot, with one token for each word."""

from pathlib import Path

from .texts import CONTEXT_NAMES
from .world import SYMBOLS

SPECIAL_TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
VOCABULARY = (*SPECIAL_TOKENS.values(), "<user>", "<assistant>", *CONTEXT_NAMES, *SYMBOLS)
"""Token i is the i-th word."""

# The template alone writes the BOS, the tokenizer adds none: a rendered prompt has exactly one.
_CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %} <{{ message['role'] }}> {{ message['content'] }}"
    "{% if message['role'] == 'assistant' %} {{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %} <assistant>{% endif %}"
)


def write_tokenizer(folder: Path) -> None:
    """Write the tokenizer's files into `folder`, for `AutoTokenizer.from_pretrained`."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import PreTrainedTokenizerFast

    words = {word: index for index, word in enumerate(VOCABULARY)}
    tokenizer = Tokenizer(WordLevel(words, unk_token=SPECIAL_TOKENS["unk_token"]))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, clean_up_tokenization_spaces=False, padding_side="left", **SPECIAL_TOKENS
    )
    fast.chat_template = _CHAT_TEMPLATE
    fast.save_pretrained(folder)
