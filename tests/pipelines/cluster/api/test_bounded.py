"""Calls that hang are left to themselves."""

import subprocess
import sys
import threading

from nashflow.pipelines.cluster.api.bounded import within


def test_each_call_has_its_answer_its_error_or_none_in_time() -> None:
    never = threading.Event()

    def wrong() -> int:
        raise ValueError("wrong")

    answers = within(0.2, [lambda: 1, wrong, lambda: int(never.wait()), lambda: 4])
    never.set()
    assert [str(answer) for answer in answers] == ["1", "wrong", "no answer in 0.2 s", "4"]
    assert [type(answer) for answer in answers] == [int, ValueError, TimeoutError, int]


def test_what_comes_too_late_changes_nothing() -> None:
    late, told = threading.Event(), threading.Event()

    def answer() -> int:
        late.wait()
        told.set()
        return 1

    (answered,) = within(0.05, [answer])
    late.set()
    told.wait()
    assert isinstance(answered, TimeoutError)


def test_a_call_that_hangs_does_not_keep_the_process_from_ending() -> None:
    code = (
        "import threading\n"
        "from nashflow.pipelines.cluster.api.bounded import within\n"
        "print(type(within(0.1, [threading.Event().wait])[0]).__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=600)
    assert (done.returncode, done.stdout) == (0, "TimeoutError\n"), done.stderr
