"""Preference matrices and policies from files, good and bad."""

import io
import json
from pathlib import Path

import numpy as np
import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.games.files import read_log_policy, read_matrix
from tests.fixtures.games import ROCK_PAPER_SCISSORS


def saved(array: object, **options: bool) -> bytes:
    sink = io.BytesIO()
    np.save(sink, np.asarray(array), **options)
    return sink.getvalue()


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


ROWS = ROCK_PAPER_SCISSORS.tolist()
CSV = "0.5,0.9,0.1\n0.1,0.5,0.9\n0.9,0.1,0.5\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("m.csv", CSV),
        ("m.CSV", "\ufeff" + CSV.replace("\n", "\r\n").replace(",", ", ") + "\r\n"),
        ("m.json", json.dumps(ROWS)),
        ("m.npy", saved(ROCK_PAPER_SCISSORS)),
        ("m.npy", saved(np.asfortranarray(ROCK_PAPER_SCISSORS))),
    ],
)
def test_a_matrix_is_the_same_in_every_format(name: str, content: str | bytes, tmp_path: Path) -> None:
    matrix = read_matrix(written(tmp_path, name, content))
    assert matrix.dtype == np.float64
    np.testing.assert_array_equal(matrix, ROCK_PAPER_SCISSORS)


@pytest.mark.parametrize("digits", [4, 5, 6, 7, "float32"])
def test_rounded_numbers_are_taken_and_that_is_said(
    digits: int | str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = np.random.default_rng(0).normal(size=12)
    exact = 1 / (1 + np.exp(scores[None] - scores[:, None]))
    rounded = exact.astype(np.float32) if digits == "float32" else np.round(exact, int(digits))
    if digits == 4:
        rounded[0, 1] += 9e-5  # as two roundings of the same number may differ
    path = written(tmp_path, "m.npy", saved(rounded))
    matrix = read_matrix(path)
    np.testing.assert_allclose(matrix, exact, atol=1e-4 if digits == "float32" else 10.0 ** -int(digits))
    np.testing.assert_allclose(matrix + matrix.T, 1, atol=1e-15)
    said = capsys.readouterr().err
    off = np.abs(rounded.astype(float) + rounded.T - 1).max()
    assert said.startswith(f"nashflow: {path}: P[i, j] + P[j, i] is 1 up to rounding, off by") == (off > 1e-9)


def test_exact_numbers_stay_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.testing.assert_array_equal(read_matrix(written(tmp_path, "m.csv", CSV)), ROCK_PAPER_SCISSORS)
    assert capsys.readouterr().err == ""


def test_numbers_of_other_types_are_numbers_too(tmp_path: Path) -> None:
    sharp = np.array([[0.5, 1], [0, 0.5]], dtype=np.float32)
    np.testing.assert_array_equal(read_matrix(written(tmp_path, "m.npy", saved(sharp))), sharp)
    np.testing.assert_array_equal(read_matrix(written(tmp_path, "m.json", "[[0.5, 1], [0, 5e-1]]")), sharp)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.csv", "0.7,0.2,0.1\n"),
        ("p.csv", "0.7\n0.2\n0.1"),
        ("p.json", "[0.7, 0.2, 0.1]"),
        ("p.json", "[[0.7], [0.2], [0.1]]"),
        ("p.npy", saved([0.7, 0.2, 0.1])),
    ],
)
def test_a_policy_is_a_list_a_row_or_a_column(name: str, content: str | bytes, tmp_path: Path) -> None:
    np.testing.assert_allclose(read_log_policy(written(tmp_path, name, content)), np.log([0.7, 0.2, 0.1]), atol=1e-14)


def test_a_policys_rounding_is_mended(tmp_path: Path) -> None:
    policy = read_log_policy(written(tmp_path, "p.csv", "0.3333333,0.3333333,0.3333333"))
    assert np.exp(policy).sum() == pytest.approx(1, abs=1e-15)


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        (
            "m.csv",
            "0.5,0.9\n0.1,0.5\n0.2,0.3",
            "preference matrix: shape (3, 2) is not square; give n rows of n numbers",
        ),
        ("m.csv", "", "a preference matrix has rows and columns, not the shape (0,)"),
        ("m.csv", "0.5,0.9\n0.1", "row 1 has 1 numbers, row 0 has 2"),
        ("m.csv", "0.5,high\n0.1,0.5", "row 0 has 'high', which is no number"),
        ("m.csv", "a,b\n0.5,0.9\n0.1,0.5", "row 0 has 'a', which is no number"),
        ("m.csv", "0.5;0.9\n0.1;0.5", "row 0 has '0.5;0.9', which is no number"),
        ("m.csv", "0.5,1.2\n-0.2,0.5", "preference matrix: entries must be probabilities, found -0.2 to 1.2"),
        ("m.csv", "0.5,0.7\n0.4,0.5", "preference matrix: P[0, 1] + P[1, 0] must be 1 (and P[i, i] 0.5), off by 0.1"),
        ("m.csv", "0.5,nan\n0.4,0.5", "preference matrix: every entry must be a finite number"),
        ("m.csv", b"\x93NUMPY\xff\xfe", "not a text file, though its name ends in .csv"),
        ("m.json", "[[0.5, NaN], [0.4, 0.5]]", "preference matrix: every entry must be a finite number"),
        ("m.json", "[[0.5, true], [0, 0.5]]", "row 0 has True, which is no number"),
        ("m.json", "[[0.5, null], [0, 0.5]]", "row 0 has None, which is no number"),
        ("m.json", "[[0.5, 1], 0.5]", "row 1 has 1 numbers, row 0 has 2"),
        ("m.json", "[0.5, 0.5]", "a preference matrix has rows and columns, not the shape (2,)"),
        ("m.json", '{"matrix": []}', "give a list of rows of numbers, or a list of probabilities"),
        ("m.json", "[[0.5,", "not JSON: Expecting value: line 1 column 7 (char 6)"),
        (
            "m.npy",
            saved([[0.5, None]], allow_pickle=True),
            "not an NPY file of numbers: Object arrays cannot be loaded",
        ),
        ("m.npy", saved([["a"]]), "not an NPY file of numbers but of <U1"),
        ("m.npy", saved([[0.5 + 1j]]), "not an NPY file of numbers but of complex128"),
        ("m.npy", saved(np.full((2, 2, 2), 0.5)), "a preference matrix has rows and columns, not the shape (2, 2, 2)"),
        ("m.npy", saved(ROCK_PAPER_SCISSORS)[:-8], "not an NPY file of numbers: "),
        ("m.npy", b"", "not an NPY file of numbers: "),
        ("m.npy", b"0.5,0.5", "not an NPY file of numbers: "),
        ("m.txt", CSV, "give a file that ends in .csv, .json, .npy"),
        ("m", CSV, "give a file that ends in .csv, .json, .npy"),
    ],
)
def test_what_is_no_preference_matrix_is_one_clear_line(
    name: str, content: str | bytes, complaint: str, tmp_path: Path
) -> None:
    path = written(tmp_path, name, content)
    with pytest.raises(UserError) as caught:
        read_matrix(path)
    assert str(caught.value).startswith(f"{path}: {complaint}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("0.5,0.4", "probabilities must sum to 1, these sum to 0.9"),
        ("0.5,0.5,0", "every response needs a probability above 0, but that of 2 is 0"),
        ("1.5,-0.5", "every response needs a probability above 0, but that of 1 is -0.5"),
        ("0.5,nan", "every response needs a probability above 0, but that of 1 is nan"),
        ("0.5,inf", "probabilities must sum to 1, these sum to inf"),
        ("0.5,0.5\n0.5,0.5", "probabilities are one row or one column, not the shape (2, 2)"),
        ("", "probabilities must sum to 1, these sum to 0"),
    ],
)
def test_what_is_no_policy_is_one_clear_line(content: str, complaint: str, tmp_path: Path) -> None:
    path = written(tmp_path, "p.csv", content)
    with pytest.raises(UserError) as caught:
        read_log_policy(path)
    assert str(caught.value) == f"{path}: {complaint}"


def test_a_file_that_is_not_there_is_the_systems_error(tmp_path: Path) -> None:
    for suffix in (".csv", ".json", ".npy"):
        with pytest.raises(FileNotFoundError):
            read_matrix(tmp_path / f"absent{suffix}")
