"""The pairs with which a training came to numbers that are infinite or NaN, kept for people to look at."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from ..core.errors import UserError
from ..fitting.loop import NotFinite
from ..storage.store import Store
from .loop import Trainer


@contextmanager
def offending_kept(store: Store, folder: str, trainer: Trainer) -> Iterator[None]:
    """Write down the pairs of a `NotFinite` under `folder`, as lines of JSON with token ids, labels and anchors.

    Raises:
        UserError: its line, and where they are.
    """
    try:
        yield
    except NotFinite as error:
        if not error.pairs:  # another process has them
            raise
        key = f"{folder}/not-finite-{trainer.scheduler.last_epoch:08d}-{trainer.descent.rank:05d}.jsonl"
        lines = [json.dumps(_row(trainer, index)) for index in sorted(error.pairs)]
        store.write(key, "".join(f"{line}\n" for line in lines).encode())
        raise UserError(f"{error}; the pairs, {len(lines)}, are in {store.location(key)}") from None


def _row(trainer: Trainer, index: int) -> dict[str, object]:
    data = trainer.data
    row_id, pair = data.rows[index]
    chosen, rejected = data.groups[index].responses
    return {
        "row_id": row_id,
        "pair": pair,
        "prompt_ids": list(data.groups[index].prompt),
        "chosen_ids": list(chosen),
        "rejected_ids": list(rejected),
        "labels": data.labels[index].tolist(),
        "anchors": {name: values[index].tolist() for name, values in data.anchors.items()},
    }
