"""What the runs' last policies answer to the same held-out prompts."""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ...storage.records import Message
from ..answers import Answer, sample_answers
from .entries import Entry

_COUNT = 8


class Sample(NamedTuple):
    """A prompt, the reference's answer, and that of each run's last policy."""

    messages: Sequence[Message]
    reference: str
    answers: Mapping[str, Answer]
    """By the runs' labels."""


def samples_of(entries: Sequence[Entry]) -> list[Sample]:
    """The first prompts that all runs have answered; none where they have none in common."""
    found = {
        entry.label: {
            json.dumps(answer.messages, sort_keys=True): answer
            for answer in sample_answers(entry.reported.store, entry.shape, entry.last["iteration"], count=None)
        }
        for entry in entries
    }
    first, *others = found.values()
    common = [key for key in first if all(key in other for other in others)][:_COUNT]
    return [
        Sample(first[key].messages, first[key].reference, {label: each[key] for label, each in found.items()})
        for key in common
    ]
