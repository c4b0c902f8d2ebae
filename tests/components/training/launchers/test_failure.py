"""Which of several processes is the cause of a failure, and what is said of it."""

import signal
from pathlib import Path

import pytest
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

from nashflow.components.core.errors import TryAgain, UserError
from nashflow.components.training.launchers.failure import failure_of, hand_over

AGAIN = "; run the same command again"


def failed(folder: Path, rank: int, code: int, error: BaseException | None = None) -> ProcessFailure:
    """What torchrun finds of a process, which may have handed over an error."""
    path = folder / f"{rank}.json"
    if error:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TORCHELASTIC_ERROR_FILE", str(path))
            hand_over(error)
    return ProcessFailure(rank, 4711, code, str(path))


def cause(*failures: ProcessFailure) -> UserError | TryAgain:
    return failure_of(ChildFailedError("x", {failure.local_rank: failure for failure in failures}))


def test_a_line_for_the_user_is_handed_through(tmp_path: Path) -> None:
    found = cause(failed(tmp_path, 0, 2, UserError("set\nx")), failed(tmp_path, 1, -signal.SIGTERM))
    assert (type(found), str(found)) == (UserError, "set x")


def test_a_process_that_was_killed_is_the_cause_whatever_others_say(tmp_path: Path) -> None:
    said = failed(tmp_path, 0, 1, RuntimeError("Connection closed by peer"))
    said.timestamp -= 100
    found = cause(said, failed(tmp_path, 1, -signal.SIGKILL))
    assert type(found) is TryAgain
    assert str(found) == f"process 1 of the training was ended by SIGKILL (often: the memory is full){AGAIN}"


def test_of_those_that_failed_the_first_one_is_named_with_its_last_words(tmp_path: Path) -> None:
    first = failed(tmp_path, 1, 1, ValueError("the first\none"))
    later = failed(tmp_path, 0, 1, ValueError("another one"))
    later.timestamp += 1
    found = cause(later, first, failed(tmp_path, 2, 143))
    assert str(found) == f"process 1 of the training has failed: ValueError: the first one{AGAIN}"


def test_a_line_for_the_user_counts_more_than_what_others_say_who_missed_its_process(tmp_path: Path) -> None:
    """Times are whole seconds, and others may find the connection closed within the same one."""
    missed = failed(tmp_path, 0, 1, RuntimeError("Connection closed by peer"))
    found = cause(missed, failed(tmp_path, 1, 2, UserError("NaN in row 7")))
    assert (type(found), str(found)) == (UserError, "NaN in row 7")


def test_where_no_torchrun_reads_it_an_error_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    hand_over(ValueError("x"))
    assert capsys.readouterr().err.splitlines()[-1] == "ValueError: x"
