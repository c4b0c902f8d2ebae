"""What cannot be scored."""

from collections.abc import Iterable

from ..core.errors import UserError
from ..storage import records


def require_tokens(rows: Iterable[records.Pair]) -> None:
    """Refuse a response without tokens, which has no probability. Our own engines sample at least its end.

    Raises:
        UserError: names its row.
    """
    for row in rows:
        for side, ids in (("chosen", row["chosen_ids"]), ("rejected", row["rejected_ids"])):
            if not ids:
                raise UserError(
                    f"the {side} response of row_id {row['row_id']}, pair {row['pair']}, has no tokens, not even the "
                    "one that ends it, and so no probability: set rollout.engine to another one, and choose a new run "
                    "root"
                )
