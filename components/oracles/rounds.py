"""Rounds of many tournaments at once.

Each call to the oracle has the open questions of all tournaments under way. As tournaments end, others begin, so that
every call but the last ones has enough of them, and memory holds a few tournaments whatever the number of prompts.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import NamedTuple, TypedDict

from ..methods.phases import Comparisons
from ..methods.tournament import TOURNAMENTS, seeded
from ..storage.records import Comparison, Pair
from .base import Oracle, Query, Verdict
from .referee import COUNTS, PromptSamples, Rules, Table
from .seeding import seeds_of
from .usage import total_usage, used_since


@dataclass(frozen=True)
class Judged:
    """Rows in the order of the prompts, and how often each of `COUNTS` has happened."""

    comparisons: list[Comparison]
    pairs: list[Pair]
    counts: Mapping[str, int]

    @classmethod
    def of(cls, tables: Sequence[Table]) -> "Judged":
        """The results of tournaments that have ended."""
        return cls.joined([cls(table.comparisons, table.pairs, table.counts()) for table in tables])

    @classmethod
    def joined(cls, parts: Sequence["Judged"]) -> "Judged":
        """The results of several, one after the other."""
        counts = Counter(dict.fromkeys(COUNTS, 0))
        for part in parts:
            counts.update(part.counts)
        return cls(
            [row for part in parts for row in part.comparisons], [row for part in parts for row in part.pairs], counts
        )


class Known(TypedDict):
    """A verdict, as a JSON value: of a prompt, the samples that have the two texts first, the fields of `Verdict`."""

    row_id: int
    samples: tuple[int, int]
    verdict: dict[str, object]


class Asked(NamedTuple):
    """A call to the oracle, and what has come of it."""

    ended: Judged
    """The tournaments that have ended with it, all before them included, so that rows stay in order."""
    prompts: list[int]
    """Row ids of their prompts."""
    begun: int
    """How many tournaments have begun, from the first prompt on."""
    verdicts: list[Known]
    """The verdicts of this call that are of tournaments under way."""
    used: dict[str, float]
    """What the oracles have used for it."""


class Rounds:
    """The tournaments `comparisons` among the samples of prompts."""

    def __init__(
        self,
        prompts: Iterable[PromptSamples],
        comparisons: Comparisons,
        rules: Rules,
        oracle: Oracle | None,
        signature: str = "",
        seeding: Oracle | None = None,
        *,
        together: int = 1,
        fill: int = 1,
    ) -> None:
        """
        Args:
            prompts: with their samples, in order.
            comparisons: the kind of tournament.
            rules: how verdicts become outcomes, and candidates pairs.
            oracle: is asked for the verdicts; given pairs need none.
            signature: the oracle's.
            seeding: the oracle that ranks the samples of seeded brackets.
            together: how many tournaments are under way at least.
            fill: how many questions a call has at least.
        """
        self._prompts, self._comparisons, self._rules = iter(prompts), comparisons, rules
        self._oracle, self._signature, self._seeding = oracle, signature, seeding
        self._together, self._fill = together, fill
        self._tables: deque[Table] = deque()
        self._begun = 0

    def resume(self, ended: int, begun: int, known: Iterable[Known]) -> None:
        """Go on after a call that was the last one of an earlier attempt.

        Args:
            ended: how many tournaments had ended, as `Asked.prompts` count them; `prompts` begins after these.
            begun: `Asked.begun`.
            known: the verdicts on those in between.
        """
        self._begun = ended
        self._begin(begun - ended)
        tables = {table.prompt.row_id: table for table in self._tables}
        for each in known:
            table = tables[each["row_id"]]
            texts = (table.prompt.samples[sample].text for sample in each["samples"])
            table.learn(Query(table.prompt.messages, *texts), _verdict(each["verdict"]))
        for table in self._tables:
            table.play()

    def calls(self, part: str = "", number: int = 0) -> Iterator[Asked]:
        """Play to the end, one call after the other; each is the `number`-th part of the unit of work `part`.

        Raises:
            Unanswered: nothing but questions that wait for somebody's answer are left; all of them are named.
        """
        oracles = [oracle for oracle in (self._oracle, self._seeding) if oracle]
        while True:
            before = [dict(oracle.usage) for oracle in oracles]
            for oracle in oracles:
                oracle.begin(f"{part}/{number}")
            self._begin_enough()
            if not self._tables:
                return
            asked = self._ask()
            ended = self._ended()
            if self._oracle and not asked and not ended:
                self._oracle.judge([query for table in self._tables for query in table.waiting])
            gone = {id(table) for table in ended}
            verdicts = [_known(table, query, verdict) for table, query, verdict in asked if id(table) not in gone]
            used = total_usage(map(used_since, oracles, before))
            yield Asked(Judged.of(ended), [table.prompt.row_id for table in ended], self._begun, verdicts, used)
            number += 1

    def _ask(self) -> list[tuple[Table, Query, Verdict]]:
        """One call with all questions that can be judged, and what comes of it."""
        asked = [(table, query) for table in self._tables for query in table.open]
        verdicts = self._oracle.compare([query for _, query in asked]) if self._oracle else []
        said = [(*each, verdict) for each, verdict in zip(asked, verdicts, strict=True)]
        for table, query, verdict in said:
            table.learn(query, verdict)
        for table in dict.fromkeys(table for table, _ in asked):
            table.play()
        return said

    def _ended(self) -> list[Table]:
        """Take away the tournaments that have ended with all before them."""
        ended = []
        while self._tables and self._tables[0].finished:
            ended.append(self._tables.popleft())
        return ended

    def _begin_enough(self) -> None:
        while True:
            playing = sum(bool(table.open) for table in self._tables)
            enough = playing >= self._together and sum(len(table.open) for table in self._tables) >= self._fill
            if enough or not self._begin(max(self._together - playing, 1)):
                return

    def _begin(self, count: int) -> int:
        """Begin the next tournaments, `count` if there are so many prompts; how many there were."""
        prompts = list(islice(self._prompts, count))
        sizes = [len(prompt.samples) for prompt in prompts]
        if self._seeding and prompts:
            tournaments = list(map(seeded, sizes, seeds_of(prompts, self._seeding)))
        else:
            tournaments = list(map(TOURNAMENTS[self._comparisons], sizes))
        waits_for: Callable[[Query], bool] = self._oracle.waits_for if self._oracle else lambda query: False
        for prompt, tournament in zip(prompts, tournaments, strict=True):
            self._tables.append(Table(prompt, tournament, self._rules, self._signature, waits_for))
            self._tables[-1].play()
        self._begun += len(prompts)
        return len(prompts)


def judge(
    prompts: Sequence[PromptSamples],
    comparisons: Comparisons,
    rules: Rules,
    oracle: Oracle | None,
    signature: str = "",
    seeding: Oracle | None = None,
) -> Judged:
    """Play the tournaments of all prompts at the same time; the arguments are those of `Rounds`."""
    rounds = Rounds(prompts, comparisons, rules, oracle, signature, seeding, together=max(len(prompts), 1))
    return Judged.joined([asked.ended for asked in rounds.calls()])


def _known(table: Table, query: Query, verdict: Verdict) -> Known:
    texts = [sample.text for sample in table.prompt.samples]
    samples = texts.index(query.first), texts.index(query.second)
    return {"row_id": table.prompt.row_id, "samples": samples, "verdict": asdict(verdict)}


def _verdict(said: dict[str, object]) -> Verdict:
    return Verdict(**{**said, "members": tuple(said["members"])})  # type: ignore[arg-type]
