"""The layouts: `AnyLayout` is the recipe's `training.layout` and `logprobs.layout`, told apart by its `kind`."""

from typing import Annotated

from ...core.variants import Variants
from .base import Layout
from .padded import Padded

LAYOUTS = Variants("nashflow.layouts", Layout, Padded)
AnyLayout = Annotated[Layout, LAYOUTS]
