"""A file of prompts from outside of runs: recognised in the runs that learned from it, by the digest of each prompt."""

from collections.abc import Iterator, Sequence

from nashflow.components.core.digests import digest_json
from nashflow.components.prompts.reading import Asked, read
from nashflow.components.prompts.settings import PromptSource
from nashflow.components.storage import layout
from nashflow.components.storage.records import PROMPTS
from nashflow.components.storage.units import read_manifest

from ..gc.inventory import RunRoot
from .traced import Use


def digests_in(place: str) -> set[str]:
    """The digest of the messages of each prompt in a file or folder, read as a recipe reads it by default.

    Raises:
        UserError: it is no set of prompts.
    """
    pool, _ = read(PromptSource(path=place), Asked(lenient=True))
    return {digest_json(prompt.messages) for prompt in pool}


def read_by(digests: set[str], runs: Sequence[RunRoot]) -> Iterator[Use]:
    """The runs that have any of these prompts, and how many of theirs these are."""
    for run in runs:
        for how, held_out in (("learns from", False), ("is measured on", True)):
            theirs = set(_prompts_of(run, held_out))
            if run.run and (common := len(theirs & digests)):
                yield Use("run", run.run.name, run.uri, f"{how} {common:,} of them; it has {len(theirs):,}")


def _prompts_of(run: RunRoot, held_out: bool) -> Iterator[str]:
    for key in (key.removesuffix(layout.MANIFEST) for key in run.entries if "/prompts/" in key):
        manifest = read_manifest(run.store, key) if (key == layout.held_out()) == held_out else None
        if manifest and f"{key}{layout.MANIFEST}" in run.entries:
            yield from (digest_json(row["messages"]) for row in manifest.stream(run.store, PROMPTS))
