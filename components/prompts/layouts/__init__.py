"""The layouts of data sets that are read without conversion, the most particular first."""

from collections.abc import Mapping, Sequence
from typing import Any

from ...core.errors import UserError
from ..settings import PromptSource
from .base import Layout
from .benchmarks import JudgeBench, RewardBench2
from .dialogues import Dialogue
from .fields import Fields
from .pairs import Arena, Pairs
from .questions import Instruction, Turns
from .rated import HelpSteer2, HelpSteer2Preference, HelpSteer3, Nectar

LAYOUTS: tuple[type[Layout], ...] = (
    Nectar,
    HelpSteer3,
    HelpSteer2Preference,
    HelpSteer2,
    RewardBench2,
    JudgeBench,
    Pairs,
    Arena,
    Fields,
    Dialogue,
    Turns,
    Instruction,
)

KNOWN = {field for kind in LAYOUTS for field in kind.known}
"""The fields by which layouts are told apart."""


def layout_of(entry: Mapping[str, Any], source: PromptSource, given: Sequence[str], where: str) -> Layout:
    """The layout of a set by its first entry.

    Raises:
        UserError: none fits; names the fields that there are.
    """
    for kind in LAYOUTS:
        if source.layout in ("", kind.name) and (found := kind.find(entry, source, given)):
            return found
    here = ", ".join(entry) or "none"
    if source.layout:
        raise UserError(f"{where}: no entry of the layout {source.layout}; leave prompts.layout out (here: {here})")
    raise UserError(
        f"{where}: no field {source.field!r}; set prompts.field to the one that holds the prompt (here: {here})"
    )
