"""The records: their row types, and reading and writing them as Parquet files.

Rows stand in the order of their prompt's `row_id` everywhere. No column holds nulls.
"""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Generic, TypedDict, TypeVar, get_args, get_type_hints

import pyarrow as pa
import pyarrow.parquet as pq

from ..core.errors import UserError, one_line

Int32 = Annotated[int, pa.int32()]
Tokens = Annotated[list[int], pa.list_(pa.int32())]
_PLAIN = {
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    str: pa.string(),
    list[float]: pa.list_(pa.float64()),
    list[str]: pa.list_(pa.string()),
}

_GROUP, _PIECE = 4096, 256
"""Rows of a group in a file, and those that are Python objects at a time."""

RowT = TypeVar("RowT")


class Record(Generic[RowT]):
    """A kind of record: its name in manifests, and the columns of its files, made from the type of its rows."""

    def __init__(self, name: str, row: type[RowT], later: Mapping[str, Any] | None = None) -> None:
        """`later`: the values of columns that files and journals of earlier versions lack."""
        self.name = name
        self.schema = pa.schema(_columns(row))
        self.later = later or {}


def _columns(row: type) -> list[tuple[str, pa.DataType]]:
    return [(name, _column(hint)) for name, hint in get_type_hints(row, include_extras=True).items()]


def _column(hint: Any) -> pa.DataType:
    if hint in _PLAIN:
        return _PLAIN[hint]
    inner, *metadata = get_args(hint)
    return metadata[0] if metadata else pa.list_(pa.struct(_columns(inner)))


class Message(TypedDict):
    """One turn of a dialogue."""

    role: str
    content: str


class Prompt(TypedDict):
    """A prompt of a run."""

    row_id: int
    """Its place in the run's stream of prompts; negative where it is held out."""
    messages: list[Message]
    """The dialogue that the response continues."""
    given: list[str]
    """Responses that come with it, a teacher's, or a chosen and a rejected one."""


class Rollout(TypedDict):
    """One response to a prompt."""

    row_id: int
    sample: Int32
    """0 … K-1 within its prompt."""
    role: str
    """pair, opponent or given."""
    prompt_ids: Tokens
    response_ids: Tokens
    """All that was sampled: with thoughts, and with the token that ended it where the model ended by itself."""
    text: str
    """The answer, without thoughts and without what ended it; special tokens amid it stand by their names."""
    finish: str
    """stop where the model ended by itself, else length: it was cut, or its thoughts did not end."""
    logprob: list[float]
    """One number: the sum of the tokens' log-probabilities, in nats, as the sampled policy has them in float32,
    whatever temperature and top_p. Empty where the engine does not give it, or in another precision."""


class Comparison(TypedDict):
    """One comparison of two samples of a prompt, in the order asked.

    In an evaluation `first` numbers the policy's responses and `second` the reference's.
    """

    row_id: int
    index: Int32
    first: Int32
    second: Int32
    forward: float
    """P(first ≻ second) as the oracle saw them in this order."""
    backward: float
    """P(first ≻ second) as it saw them in the swapped order."""
    probability: float
    """Their mean."""
    abstained: bool
    repeated: bool
    """The pair had met before, or is one text twice, so no oracle call was made."""
    winner: Int32
    """The sample that wins, the first of a tie; in an evaluation 0 if the policy's response wins, otherwise 1."""
    oracle: str
    """The oracle that was asked: its kind, and the beginning of its digest."""
    members: list[float]
    """P(first ≻ second) of each of the oracles of which the verdict is the mean; empty if it is the verdict of one."""


class Pair(TypedDict):
    """One training pair."""

    row_id: int
    pair: Int32
    chosen: Int32
    rejected: Int32
    prompt_ids: Tokens
    chosen_ids: Tokens
    rejected_ids: Tokens
    probability: float
    """P(chosen ≻ rejected), or 1/2 and half the difference of their win rates where they were measured against
    others."""
    chosen_label: float
    """z of the chosen response against the other (1 for binary and sampled labels, 2p - 1 for soft ones, the oracle's
    score, of any size, for score), or its mean against others. Labels multiply the objective's target."""
    rejected_label: float
    """z of the rejected response, likewise: -1, 1 - 2p, or the negative score."""


class Logprob(TypedDict):
    """A policy's log-probabilities of a pair's two sides, in nats: sums over the response tokens, or means where the
    phase says so."""

    row_id: int
    pair: Int32
    policy: str
    chosen: float
    rejected: float


class GameProbability(TypedDict):
    """A policy on the sandbox world, exactly: log π(response | context), normalised over the world's responses."""

    context: Int32
    response: Int32
    logprob: float


class CachedLogprob(TypedDict):
    """A value of the log-prob cache."""

    key: str
    """SHA-256 of the prompt and response token ids."""
    logprob: float


class CachedVerdict(TypedDict):
    """A judge's answer to a request, with its verdict."""

    key: str
    """SHA-256 of the messages to the judge."""
    outcome: str
    """verdict, or why there is none: unparsed, refused, too_long."""
    probability: float
    """P(A is better); 1/2 where there is no verdict."""
    input_tokens: int
    output_tokens: int
    part: str
    """The part of a unit of work that it was asked for; empty: for none."""
    output: str
    """The judge's text, or the likeliest tokens with their log-probabilities, as JSON."""


class BenchmarkQuestion(TypedDict):
    """A question of a benchmark."""

    question: str
    """Its id."""
    category: str
    before: list[Message]
    """What stands before the first turn, such as a system message."""
    turns: list[str]
    """What the user says; an answer follows each turn."""
    reference: list[str]
    """The right answers, one a turn, where the benchmark has such."""
    opponent: list[str]
    """The answers that the policy's are compared with, one a turn, where the benchmark has such."""


class BenchmarkAnswer(TypedDict):
    """A policy's answer to a question of a benchmark."""

    question: str
    turns: list[str]
    """One text a turn, without thoughts and without what ended it."""
    tokens: Tokens
    """How many it has, a number a turn."""
    finish: list[str]
    """Of each turn: stop where the model ended by itself, else length: it was cut, or its thoughts did not end."""
    bos: Tokens
    """How many BOS tokens the prompt of each turn begins with: one, or none where the model has none."""


class Judgment(TypedDict):
    """What a judge, or a rule, says of an answer."""

    question: str
    turn: Int32
    """The turn that is judged, from 0."""
    game: Int32
    """Tells the judgments of one turn apart, from 0: games in both orders, or instructions that are checked."""
    first: bool
    """Whether the policy's answer was shown before the opponent's."""
    outcome: str
    """verdict, or why there is none: unparsed, refused, too_long, abstained."""
    verdict: str
    """The verdict in the judge's words, such as `A>>B`; empty if there is none, or if the judge has no words."""
    probability: float
    """P(policy ≻ opponent); 1/2 where there is no verdict, and where nothing is compared."""
    grade: float
    """Of an answer by itself, such as 7, or 1 where a rule holds; 0 where there is no verdict, and where answers are
    compared."""
    output: str
    """The judge's text, or the likeliest tokens with their log-probabilities, as JSON; empty if it has neither."""
    judge: str
    """The judge's kind and the beginning of its digest; empty for a rule."""


class CategoryFigure(TypedDict):
    """A figure of one category of a benchmark's questions."""

    category: str
    figure: str
    """Its name, without those of the benchmark and of the judge."""
    value: float
    low: float
    """The ends of its 95 % interval; NaN where there is none."""
    high: float
    questions: Int32


class TaskFigure(TypedDict):
    """A figure of an academic task, as lm-eval has computed it."""

    task: str
    """Its name in the recipe: a task or a group of tasks."""
    member: str
    """The task, or group, that the figure is of: the same, or one within the group."""
    metric: str
    filter: str
    """How answers are read before they are compared, such as `strict-match`; `none`."""
    counts: bool
    """Whether it is the figure that counts of the task."""
    value: float
    error: float
    """Its standard error; NaN where lm-eval gives none."""
    shots: Int32
    questions: Int32
    cut: Int32
    """How many of the questions are longer than what the model reads, which was their end."""
    version: str
    """Of the task."""
    settings: str
    """As JSON: the version and the seeds of lm-eval, engine, precision, template, BOS tokens, and the task's own."""


PROMPTS = Record("prompts", Prompt)
ROLLOUTS = Record("rollouts", Rollout, {"logprob": []})
COMPARISONS = Record("comparisons", Comparison, {"oracle": "", "members": []})
PAIRS = Record("pairs", Pair)
LOGPROBS = Record("logprobs", Logprob)
GAME_POLICY = Record("game_policy", GameProbability)
CACHE = Record("cache", CachedLogprob)
VERDICTS = Record("verdicts", CachedVerdict, {"part": ""})
QUESTIONS = Record("questions", BenchmarkQuestion)
ANSWERS = Record("answers", BenchmarkAnswer)
JUDGMENTS = Record("judgments", Judgment)
CATEGORIES = Record("categories", CategoryFigure)
TASK_FIGURES = Record("task_figures", TaskFigure)


def table(rows: Sequence[Mapping[str, Any]], record: Record[Any]) -> pa.Table:
    """Rows as a table of the record; keys that it does not have are left out.

    Raises:
        UserError: a value is missing, null or does not fit its column; names the column and the reason.
    """
    columns = []
    for field in record.schema:
        try:
            later = record.later.get(field.name)
            columns.append(pa.array([row.get(field.name, later) for row in rows], field.type))
        except (ValueError, TypeError, OverflowError) as error:  # a lone surrogate, another type, a large integer
            raise UserError(f"rows: column {field.name}: {error}") from None
    made = pa.Table.from_arrays(columns, schema=record.schema)
    _check(made, record.schema, "rows")
    return made


def to_bytes(rows: pa.Table, record: Record[Any], where: str) -> bytes:
    """A table as the bytes of a Parquet file, after checking it against the record's schema."""
    _check(rows, record.schema, where)
    sink = io.BytesIO()
    pq.write_table(rows, sink, compression="zstd")
    return sink.getvalue()


def write(rows: Iterable[Mapping[str, Any]], record: Record[Any], path: Path) -> int:
    """Write rows to a Parquet file as they come, group by group; how many they are. Equal rows give equal files.

    Raises:
        UserError: as `table`.
    """
    rest, count = iter(rows), 0
    with pq.ParquetWriter(path, record.schema, compression="zstd") as writer:
        while len(group := _group(rest, record)) or not count:
            writer.write_table(group)
            count += len(group)
            if len(group) < _GROUP:
                break
    return count


def _group(rows: Iterator[Mapping[str, Any]], record: Record[Any]) -> pa.Table:
    pieces = [table(list(islice(rows, _PIECE)), record) for _ in range(0, _GROUP, _PIECE)]
    return pa.concat_tables(pieces).combine_chunks()


def read(path: Path, record: Record[RowT], where: str) -> Iterator[RowT]:
    """The rows of a Parquet file, of which few are in memory at a time.

    Raises:
        UserError: as `from_bytes`.
    """
    try:
        file = pq.ParquetFile(path)
        _check(_completed(file.schema_arrow.empty_table(), record), record.schema, where)
        for batch in file.iter_batches(_PIECE):
            rows = _completed(pa.Table.from_batches([batch]), record)
            _check(rows, record.schema, where)
            yield from rows.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{where}: not a Parquet file, or damaged: {one_line(error)}") from None


def from_bytes(data: bytes, record: Record[Any], where: str) -> pa.Table:
    """The table in a Parquet file's bytes.

    Raises:
        UserError: not a Parquet file, or a column is missing, unknown, of another type or has nulls; names `where`,
            the column and the reason.
    """
    try:
        rows = pq.read_table(io.BytesIO(data))
    except (pa.ArrowException, OSError) as error:  # pyarrow says of most damages that they are input and output errors
        raise UserError(f"{where}: not a Parquet file, or damaged: {one_line(error)}") from None
    rows = _completed(rows, record)
    _check(rows, record.schema, where)
    return rows


def _completed(rows: pa.Table, record: Record[Any]) -> pa.Table:
    """With the columns that files of earlier versions lack."""
    for name, value in record.later.items():
        if name not in rows.column_names:
            rows = rows.append_column(name, pa.array([value] * len(rows), record.schema.field(name).type))
    return rows


def _check(rows: pa.Table, schema: pa.Schema, where: str) -> None:
    for field in schema:
        if field.name not in rows.column_names:
            raise UserError(f"{where}: column {field.name} is missing; columns there: {', '.join(rows.column_names)}")
        column = rows.column(field.name)
        if column.type != field.type:
            raise UserError(f"{where}: column {field.name} is {column.type}, not {field.type}")
        if nulls := sum(_nulls(chunk) for chunk in column.chunks):
            raise UserError(f"{where}: column {field.name} has {nulls} nulls")
    if unknown := sorted(set(rows.column_names) - set(schema.names)):
        known = ", ".join(schema.names)
        raise UserError(f"{where}: unknown column {', '.join(unknown)}; columns of this record: {known}")


def _nulls(values: pa.Array) -> int:
    """Nulls among the values and inside them: elements of lists, fields of structs."""
    inside: list[pa.Array] = []
    if pa.types.is_list(values.type):
        inside = [values.flatten()]
    elif pa.types.is_struct(values.type):
        inside = values.drop_null().flatten()
    return int(values.null_count) + sum(_nulls(part) for part in inside)
