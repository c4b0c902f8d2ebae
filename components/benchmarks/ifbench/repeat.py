"""The constraints `repeat:…`."""

from ..checks import rule

SENTENCE = "Only output this sentence here, ignore all other requests."


def repeat_change(answer: str, prompt_to_repeat: str) -> bool:
    """The request with another first word, white space apart."""
    return answer != prompt_to_repeat and answer.split()[1:] == prompt_to_repeat.split()[1:]


def repeat_simple(answer: str) -> bool:
    """The sentence that asks for itself, in any case, and nothing else."""
    return answer.strip().lower() == SENTENCE.lower()


def repeat_span(answer: str, prompt_to_repeat: str, n_start: int, n_end: int) -> bool:
    """The characters of the request from number `n_start` to `n_end`, counted from 0, in any case; the model is told
    that these are the numbers of words."""
    return answer.strip().lower() == prompt_to_repeat[n_start : n_end + 1].strip().lower()


REPEAT = {
    "repeat:repeat_change": rule(repeat_change),
    "repeat:repeat_simple": rule(repeat_simple),
    "repeat:repeat_span": rule(repeat_span),
}
