"""The layouts: `AnyLayout` is the recipe's `training.layout` and `logprobs.layout`, told apart by its `kind`."""

from typing import Annotated

from ...core.variants import Variants
from .base import Layout
from .packed import Packed
from .padded import Padded
from .shared_prefix import SharedPrefix

LAYOUTS = Variants("nashflow.layouts", Layout, Padded, Packed, SharedPrefix)
AnyLayout = Annotated[Layout, LAYOUTS]
