"""The benchmarks that the commands of `nashflow benchmark` name."""

from nashflow.components.benchmarks import BENCHMARKS
from nashflow.components.benchmarks.base import BenchmarkSettings
from nashflow.components.benchmarks.questions import QuestionBenchmark
from nashflow.components.core.errors import UserError
from nashflow.components.core.settings import nearest


def benchmark_of(name: str) -> type[BenchmarkSettings]:
    """The benchmark that measures a model by itself under a name.

    Raises:
        UserError: there is none; names the nearest.
    """
    if name not in BENCHMARKS.members:
        raise UserError(f"benchmark {name!r}: there is none of this name{nearest(name, BENCHMARKS.members)}")
    benchmark = BENCHMARKS.members[name]
    return BENCHMARKS.members[benchmark.alone] if benchmark.alone else benchmark


def question_benchmark(name: str) -> type[QuestionBenchmark]:
    """The benchmark of a kind, which has to be one of questions.

    Raises:
        UserError: there is none, or it has no files.
    """
    benchmark = benchmark_of(name)
    if not issubclass(benchmark, QuestionBenchmark):
        raise UserError(f"benchmark {name}: it has no files of its own")
    return benchmark
