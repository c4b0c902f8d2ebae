"""The log-prob cache: sums of log-probabilities by the policy that gave them and the tokens that they are of.

It lies beside the run roots, at `<prefix>/cache/logprobs/<policy>/<engine-dtype-reduction>/`, and is shared between
methods and runs. It is never stale, because a policy is named by the digest of its weights and of every other file that
transformers reads (another `rope_theta` is another policy), and a value by tokens.
"""

from collections.abc import Mapping

from ..core.digests import digest_json, sha256_bytes
from ..scoring.groups import Pair
from ..storage import layout, records
from ..storage.store import Store


def key_of(pair: Pair) -> str:
    """The cache key of a prompt's and a response's token ids."""
    return digest_json([list(pair[0]), list(pair[1])])


class LogprobCache:
    """The cached values of one policy under one engine and precision."""

    def __init__(self, run_root: Store, policy: str, engine: str, dtype: str) -> None:
        """`policy` is the digest of the whole policy, `engine` is the scoring engine's label."""
        folder = f"{layout.LOGPROB_CACHE}/{policy}/{engine}-{dtype}-sum"
        self._store = run_root.at("..").at(folder)

    def load(self, group: str, member: str) -> dict[str, float]:
        """All values by key, except those of the other shards in the group.

        The shards of one phase are a group. They run at the same time, so whether one finds another's values would
        depend on timing, and with it the last bits of the result.
        """
        values: dict[str, float] = {}
        for name in self._store.list(""):
            if name.startswith(f"{group}-") and not name.startswith(f"{group}-{member}."):
                continue
            data = self._store.read(name)
            if not _named_by(data, name):
                self._store.delete(name)  # damaged: what it held is computed again
                continue
            rows = records.from_bytes(data, records.CACHE, self._store.location(name))
            for key, value in zip(rows["key"].to_pylist(), rows["logprob"].to_pylist(), strict=True):
                values.setdefault(key, value)
        return values

    def add(self, group: str, member: str, values: Mapping[str, float]) -> None:
        """Add the values that one member of a group has computed."""
        rows = records.table([{"key": key, "logprob": value} for key, value in values.items()], records.CACHE)
        data = records.to_bytes(rows, records.CACHE, f"{group}-{member}")
        # The digest: another run of the same settings has other sequences, and must not replace these.
        self._store.write(f"{group}-{member}.{sha256_bytes(data)[:16]}.parquet", data)


def _named_by(data: bytes, name: str) -> bool:
    """Whether a file has the content that its name says."""
    return name.split(".")[-2:] == [sha256_bytes(data)[:16], "parquet"]
