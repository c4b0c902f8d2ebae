"""Settings of a set of prompts: where it lies and how its entries are read."""

from typing import Literal

from ..core.settings import Settings

LayoutName = Literal[
    "fields",
    "pairs",
    "arena",
    "helpsteer2",
    "helpsteer2_preference",
    "helpsteer3",
    "nectar",
    "judgebench",
    "rewardbench2",
    "dialogue",
    "turns",
    "instruction",
]


class PromptSource(Settings):
    """A set of prompts."""

    path: str | tuple[str, ...] = ""
    """A file of prompts (JSON, JSONL, CSV, Parquet or Arrow, plain or as .gz, .bz2, .xz or .zst), a folder or a pattern
    such as data/train-*.parquet, here or at s3://; or a data set of the Hugging Face hub, hf://owner/name."""
    field: str = "prompt"
    """The field of an entry that holds the prompt: a text (one user message) or a list of chat messages. Entries that
    lack the field prompt are read by their layout; nashflow prompts shows how."""
    layout: LayoutName | Literal[""] = ""
    """The layout of the entries; empty: the one that the first entry has."""
    subset: str = ""
    """The subset (configuration) of a data set of the hub that has several."""
    split: str = ""
    """The split of a folder or of a data set of the hub; empty: its only one, or train."""
    revision: str = ""
    """The branch, tag or commit of a data set of the hub; empty: its newest."""
    drop_last_answer: bool = False
    """Cut the assistant's answer that a dialogue ends with; otherwise such a dialogue is no prompt. Layouts of whole
    dialogues cut it by themselves."""
    on_bad: Literal["refuse", "skip"] = "refuse"
    """What happens to an entry that is empty or cannot be read: refuse ends preparation with a line that names it, skip
    leaves it out and counts it. Prompts that are too long or occur again are left out and counted either way."""

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths; none for the sandbox world."""
        return (self.path,) * bool(self.path) if isinstance(self.path, str) else self.path

    @property
    def named(self) -> str:
        """The paths, for people."""
        return ", ".join(self.paths)
