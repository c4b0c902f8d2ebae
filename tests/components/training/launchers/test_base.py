"""How many processes may share an update."""

import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.training.launchers.base import require_shares


def test_more_processes_than_pairs_are_refused_and_no_others() -> None:
    for ranks in (1, 3, 8):
        require_shares(ranks, 8)
    with pytest.raises(UserError, match=r"^training\.batch_size is 8, fewer pairs than the 9 processes .* at least 9,"):
        require_shares(9, 8)
