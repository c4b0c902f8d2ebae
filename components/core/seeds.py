"""Seeds derived from names, so that no draw depends on what was drawn before it.

Every random number of a run is a function of (run seed, iteration, phase, prompt row id, sample index): a retry,
another batch size or another number of shards cannot change it.
"""

import hashlib

from .digests import canonical_json


def derive_seed(*parts: int | str) -> int:
    """A 64-bit seed that is a function of `parts` alone: the first 8 bytes of their SHA-256."""
    return int.from_bytes(hashlib.sha256(canonical_json(parts).encode()).digest()[:8], "big")


def derive_uniform(*parts: int | str) -> float:
    """A number in [0, 1) that is a function of `parts` alone, with 53 random bits."""
    return (derive_seed(*parts) >> 11) / (1 << 53)
