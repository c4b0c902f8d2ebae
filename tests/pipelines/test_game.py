"""`nashflow game`, as a user has it: known answers, every method, families of games, bad input."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.games.families import FAMILIES
from nashflow.components.games.preference import Game, duality_gap, kl_divergence
from nashflow.components.games.progress import Curve
from nashflow.components.games.solvers import SOLVERS
from nashflow.pipelines import cli as command_line
from nashflow.pipelines.game.compare import Source, play, summarise
from nashflow.pipelines.game.figure import draw_gaps
from nashflow.pipelines.game.settings import make_contenders
from tests.fixtures import cli
from tests.fixtures.games import ROCK_PAPER_SCISSORS, SKEWED

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """Rock-paper-scissors and a skewed reference, as files."""
    matrix, reference = tmp_path / "rps.csv", tmp_path / "ref.json"
    matrix.write_text("\n".join(",".join(map(str, row)) for row in ROCK_PAPER_SCISSORS))
    reference.write_text(json.dumps(np.exp(SKEWED).tolist()))
    return str(matrix), str(reference)


def run(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], code: int = 0
) -> str:
    """What `nashflow game …` prints: on stdout if it succeeds, and the one line on stderr if it fails."""
    monkeypatch.setattr("sys.argv", ["nashflow", "game", *arguments])
    monkeypatch.setenv("COLUMNS", "160")
    with pytest.raises(SystemExit) as caught:
        command_line.main()
    out, err = capsys.readouterr()
    assert caught.value.code == code, err
    if not code:
        assert err == ""
        return out
    assert out == ""
    assert err.startswith("nashflow: ")
    assert err.count("\n") == 1
    return err.removeprefix("nashflow: ").rstrip("\n")


@pytest.fixture
def game(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """`run` without its fixtures."""
    return lambda *arguments, code=0: run(list(arguments), monkeypatch, capsys, code)


# --- solve -----------------------------------------------------------------------------------------------------------


def test_the_command_prints_one_json_object_and_nothing_else(files: tuple[str, str]) -> None:
    matrix, reference = files
    done = cli.call("game", "solve", matrix, "--method", "inpo", "--reference", reference, "--tau", "0.1", "--json")
    record = json.loads(done.stdout)
    assert list(record) == ["method", "policy", "duality_gap", "kl", "iterations", "rotation", "least_eta"]
    assert record["method"] == "inpo"
    assert record["policy"] == pytest.approx([0.446578, 0.187854, 0.365568], abs=2e-6)
    assert 0 <= record["duality_gap"] <= 1e-12
    policy = np.log(record["policy"])
    assert record["duality_gap"] == pytest.approx(
        duality_gap(Game(ROCK_PAPER_SCISSORS, SKEWED, 0.1), policy), abs=1e-14
    )
    assert record["kl"] == pytest.approx(kl_divergence(policy, SKEWED), abs=1e-12)
    assert 100 < record["iterations"] < 300
    assert record["least_eta"] == pytest.approx((0.1**2 + record["rotation"] ** 2) / 0.2)
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("tau", "nash"),
    [
        ("0.01", [0.339770, 0.317034, 0.343196]),
        ("0.1", [0.446578, 0.187854, 0.365568]),
        ("1", [0.714903, 0.159240, 0.125857]),
    ],
)
@pytest.mark.parametrize("method", ["nash_mp", "egpo"])
def test_known_nash_policies(method: str, tau: str, nash: list[float], files: tuple[str, str], game: Any) -> None:
    matrix, reference = files
    arguments = ("solve", matrix, "--method", method, "--reference", reference, "--tolerance", "1e-13", "--json")
    record = json.loads(game(*arguments, "--tau", tau, "--iterations", "5000"))
    assert record["policy"] == pytest.approx(nash, abs=2e-6)
    assert json.loads(game(*arguments, "--set", f"tau={tau}", "--iterations", "5000")) == record


@pytest.mark.parametrize("method", SOLVERS)
def test_every_method_plays(method: str, files: tuple[str, str], game: Any) -> None:
    matrix, reference = files
    out = game("solve", matrix, "--method", method, "--reference", reference, "--iterations", "20", "--json")
    record = json.loads(out)
    assert record["method"] == method
    assert sum(record["policy"]) == pytest.approx(1, abs=1e-12)
    tau = 0.1 if SOLVERS[method].regularised else 0.0
    gap = duality_gap(Game(ROCK_PAPER_SCISSORS, SKEWED, tau), np.log(record["policy"]))
    assert record["duality_gap"] == pytest.approx(gap, abs=1e-12)


def test_a_games_own_tau_is_measured_whatever_the_method_reads(files: tuple[str, str], game: Any) -> None:
    matrix, reference = files
    arguments = ("solve", matrix, "--method", "onpo", "--reference", reference, "--iterations", "20", "--json")
    plain, regularised = (json.loads(game(*arguments, "--tau", tau)) for tau in ("0", "0.5"))
    assert plain["policy"] == regularised["policy"]
    policy = np.log(plain["policy"])
    for record, tau in ((plain, 0.0), (regularised, 0.5)):
        gap = duality_gap(Game(ROCK_PAPER_SCISSORS, SKEWED, tau), policy)
        assert record["duality_gap"] == pytest.approx(gap, abs=1e-12)


def test_without_a_reference_it_is_uniform_and_constants_are_set(files: tuple[str, str], game: Any) -> None:
    matrix, _ = files
    record = json.loads(game("solve", matrix, "--method", "mnpo", "--set", "eta=2", "--set", "history=[1]", "--json"))
    assert record == {
        "method": "mnpo",
        "policy": pytest.approx([1 / 3] * 3, abs=1e-12),
        "duality_gap": pytest.approx(0, abs=1e-12),
        "kl": pytest.approx(0, abs=1e-12),
        "iterations": 0,
        "rotation": pytest.approx(0.4 / 3**0.5, abs=1e-9),
        "least_eta": pytest.approx((0.1**2 + 0.16 / 3) / 0.2, abs=1e-9),
    }


def test_the_average_is_what_unregularised_guarantees_are_about(files: tuple[str, str], game: Any) -> None:
    matrix, reference = files
    arguments = ("solve", matrix, "--method", "dno_exact", "--reference", reference, "--set", "eta=10", "--json")
    last, average = (json.loads(game(*arguments, *option)) for option in ((), ("--average",)))
    assert last["duality_gap"] > 0.2
    assert average["duality_gap"] < 0.05


def test_the_table_shows_what_the_json_has(files: tuple[str, str], game: Any) -> None:
    matrix, reference = files
    arguments = ("solve", matrix, "--method", "nash_mp", "--reference", reference)
    out, record = game(*arguments), json.loads(game(*arguments, "--json"))
    assert "nash_mp on rps.csv: tau 0.1, last iterate" in out
    assert all(f"{probability:.6f}" in out for probability in record["policy"])
    assert f"after {record['iterations']} iterations\n" in out
    assert f"KL to the reference {record['kl']:.6g} nats" in out
    short = game(*arguments, "--iterations", "3", "--average")
    assert "average of all policies" in short
    assert "after 3 iterations, above the tolerance of 1e-12" in short


# --- compare ---------------------------------------------------------------------------------------------------------


def test_methods_are_compared_on_one_matrix(files: tuple[str, str], game: Any, tmp_path: Path) -> None:
    matrix, reference = files
    figure = tmp_path / "new/gaps.png"
    arguments = ("compare", matrix, "--reference", reference, "--method", "egpo", "--method", "onpo")
    record = json.loads(game(*arguments, "--iterations", "300", "--json", "--output", str(figure)))
    assert figure.read_bytes().startswith(PNG)
    assert (record["tau"], record["games"]) == (0.1, 1)
    egpo, onpo = record["methods"]
    assert (egpo["method"], egpo["iterations"], egpo["solved"]) == ("egpo", 300, 1.0)
    assert egpo["median_gap"] == egpo["max_gap"] < 1e-12
    solved = json.loads(
        game("solve", matrix, "--reference", reference, "--method", "egpo", "--tolerance", "1e-6", "--json")
    )
    assert solved["iterations"] <= egpo["median_first_passage"] <= 1.05 * solved["iterations"]
    assert (onpo["solved"], onpo["median_first_passage"]) == (0.0, None)


def test_the_table_of_a_family(game: Any, tmp_path: Path) -> None:
    arguments = ("compare", "--family", "cyclic", "--games", "7", "--method", "egpo", "--method", "inpo")
    out = game(*arguments, "--set", "egpo.eta=0.4", "--set", "tau=0.2", "--output", str(tmp_path / "gaps.png"))
    assert "cyclic, seed 0: 7 games, tau 0.2, 1,000 iterations" in out
    rows = [line.split() for line in out.splitlines() if line.strip().startswith(("egpo", "inpo"))]
    assert [(row[0], row[3]) for row in rows] == [("egpo", "100%"), ("inpo", "100%")]
    assert f"figure   {tmp_path}/gaps.png" in out


def test_anchors_on_the_quickstarts_world_as_the_readme_has_them(game: Any, tmp_path: Path) -> None:
    """A fixed anchor with beta = 1 stays near the equilibrium of another game, that of tau = beta / 4."""
    figure = tmp_path / "anchors.png"
    arguments = ("compare", "--world", "0", "--method", "inpo", "--set", "inpo.eta=0.5", "--method", "iterative_dpo")
    arguments += ("--set", "iterative_dpo.beta=1", "--grid", "iterative_dpo.reference=fixed,moving")
    record = json.loads(game(*arguments, "--iterations", "10", "--output", str(figure), "--json"))
    assert [method["constants"] for method in record["methods"]] == [
        {},
        {"reference": "fixed"},
        {"reference": "moving"},
    ]
    assert [method["median_gap"] for method in record["methods"]] == pytest.approx([0.0089, 0.0327, 0.799], abs=5e-4)
    assert figure.read_bytes().startswith(PNG)
    own = json.loads(game(*arguments, "--tau", "0.25", "--iterations", "30", "--json"))
    assert own["methods"][1]["median_gap"] < 0.01


def test_over_a_grid_inpo_comes_nearer_than_iterative_dpo_with_either_anchor(game: Any) -> None:
    """On a world twice as intransitive; every combination is a row, in the grid's order."""
    arguments = ("compare", "--world", "0", "--intransitivity", "5", "--iterations", "30", "--method", "inpo")
    arguments += ("--grid", "inpo.eta=0.5,2", "--method", "iterative_dpo", "--grid", "iterative_dpo.beta=1.5,8,32")
    out = game(*arguments, "--grid", "iterative_dpo.reference=fixed,moving")
    assert out.startswith("sandbox world 0, intransitivity 5: 1 game, tau 0.1, 30 iterations\n")
    gaps = {" ".join(row[:-2]): float(row[-2]) for row in map(str.split, out.splitlines()) if row and row[-1] == "–"}
    dpo = [f"iterative_dpo beta={beta} reference={anchor}" for beta in (1.5, 8, 32) for anchor in ("fixed", "moving")]
    assert list(gaps) == ["inpo eta=0.5", "inpo eta=2", *dpo]
    assert max(gaps["inpo eta=0.5"], gaps["inpo eta=2"]) < min(gaps[name] for name in dpo) / 4


def test_a_figure_is_the_same_for_the_same_gaps_and_holds_gaps_of_zero() -> None:
    curve = Curve(np.array([0, 1, 10]), np.array([[0.5, 0.4], [1e-3, 1e-14], [0.0, 0.0]]))
    a, b, c = make_contenders(["inpo", "egpo", "onpo"], {}, {})
    one, again, other = (draw_gaps("three", [(a, curve), (each, curve)]) for each in (b, b, c))
    assert one == again != other
    assert one.startswith(PNG)


def test_a_methods_figures_are_those_of_its_games() -> None:
    gaps = np.array([[0.5, 0.5, 0.5], [0.1, 1e-7, 1e-9], [1e-8, 1e-3, 1e-9]])
    assert summarise(Curve(np.array([0, 1, 2]), gaps)) == {
        "iterations": 2,
        "median_gap": 1e-8,
        "max_gap": 1e-3,
        "solved": pytest.approx(2 / 3),
        "median_first_passage": 1.0,
    }


def test_help_names_every_method_and_every_family(game: Any) -> None:
    both = {name: " ".join(game(name, "--help").split()) for name in ("solve", "compare")}
    for text in both.values():
        words = set(text.replace(",", " ").replace(".", " ").replace(";", " ").replace("│", " ").split())
        assert set(SOLVERS) <= words
        assert "KL weight" in text
    assert all(family in both["compare"] for family in FAMILIES)
    assert "last iterate" in both["solve"]
    assert "solve" in game("--help")


# --- bad input -------------------------------------------------------------------------------------------------------

SOLVE, COMPARE = ("solve", "MATRIX"), ("compare", "--family", "uniform", "--games", "2")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((*SOLVE, "--method", "ipnoo"), "method 'ipnoo' is unknown; did you mean ipo?"),
        ((*SOLVE, "--method", "inpo", "--set", "eat=1"), "inpo: eat: unknown key; did you mean eta?"),
        (
            (*SOLVE, "--method", "nash_mp", "--set", "eta=1"),
            "nash_mp: eta: unknown key; known here: name, proximal_weight",
        ),
        ((*SOLVE, "--method", "inpo", "--set", "eta"), "--set eta: give key=value, such as eta=0.5"),
        (
            (*SOLVE, "--method", "inpo", "--set", "eta=["),
            "--set eta=[: '[' is not a YAML value: line 1: expected the node content, but found '<stream end>'",
        ),
        (
            (*SOLVE, "--method", "inpo", "--set", "eta=hot"),
            "inpo: eta: 'hot' is neither a number above 0 nor 'decreasing'",
        ),
        (
            (*SOLVE, "--method", "inpo", "--set", "eta=0.05"),
            "eta: 0.05, an inverse learning rate, is below tau; set eta to at least 0.1",
        ),
        ((*SOLVE, "--method", "egpo", "--set", "eta=11"), "eta: 11 times tau = 0.1 is above 1; set eta to at most 10"),
        (
            (*SOLVE, "--method", "mnpo", "--set", "history=[0.5, 0.4]"),
            "mnpo: history: the weights sum to 0.9, not to 1; give some such as [0.5, 0.5]",
        ),
        ((*SOLVE, "--method", "inpo", "--tau", "-1"), "tau: -1.0 is no KL weight; set a finite number >= 0"),
        ((*SOLVE, "--method", "inpo", "--set", "tau=hot"), "--set tau=hot: not a number"),
        (
            (*SOLVE, "--method", "inpo", "--tau", "1", "--set", "tau=1"),
            "tau is given twice: give --tau or --set tau=, not both",
        ),
        ((*SOLVE, "--method", "ipo", "--tau", "0"), "tau: 0 gives no unique policy with full support; set tau > 0"),
        ((*SOLVE, "--method", "inpo", "--iterations", "0"), "--iterations 0: set at least 1"),
        ((*SOLVE, "--method", "inpo", "--tolerance", "nan"), "--tolerance nan: set 0 or more"),
        (
            ("compare", "--method", "inpo"),
            "give a preference matrix, --family for random games, or --world for a sandbox world",
        ),
        (
            ("compare", "--world", "0", "--seed", "1", "--method", "inpo"),
            "--seed: a sandbox world is given already; leave one of the two out",
        ),
        (
            (*COMPARE, "--intransitivity", "5", "--method", "inpo"),
            "--intransitivity: a setting of the sandbox world; give --world with it",
        ),
        (
            (*COMPARE, "--method", "inpo", "--grid", "inpo.eta"),
            "--grid inpo.eta: give method.key=values, such as inpo.eta=0.5,1,2",
        ),
        (
            (*COMPARE, "--method", "inpo", "--grid", "eta=1,2"),
            "--grid eta: give method.key with one of inpo",
        ),
        (
            (*COMPARE, "--method", "inpo", "--grid", "inpo.eta=1,2", "--set", "inpo.eta=1"),
            "--grid inpo.eta: given by --set too; leave one of the two out",
        ),
        (
            (*COMPARE, "--method", "inpo", "--grid", "inpo.eta=1,0.01"),
            "inpo eta=0.01: eta: 0.01, an inverse learning rate, is below tau; set eta to at least 0.1",
        ),
        (
            ("compare", "MATRIX", "--seed", "0", "--method", "inpo"),
            "--seed: a matrix is given already; leave one of the two out",
        ),
        (
            (*COMPARE, "--reference", "MATRIX", "--method", "inpo"),
            "--reference: random games draw their own; give a matrix with it",
        ),
        (COMPARE, "--method: give one or more, such as --method inpo --method egpo"),
        ((*COMPARE, "--method", "inpo", "--method", "inpo"), "--method inpo: given twice"),
        ((*COMPARE, "--method", "inpo", "--set", "eta=1"), "--set eta: give method.key with one of inpo, or tau"),
        (
            (*COMPARE, "--method", "inpo", "--set", "egpo.eta=1"),
            "--set egpo.eta: give method.key with one of inpo, or tau",
        ),
        ((*COMPARE, "--method", "inpo", "--iterations", "0"), "--iterations 0: set at least 1"),
        (
            (*COMPARE, "--method", "inpo", "--output", "gaps.pdf"),
            "--output gaps.pdf: the figure is a PNG file: give a name that ends in .png",
        ),
    ],
)
def test_a_users_mistake_is_one_line_and_2(
    arguments: tuple[str, ...], complaint: str, files: tuple[str, str], game: Any
) -> None:
    given = [files[0] if argument == "MATRIX" else argument for argument in arguments]
    assert game(*given, code=2) == complaint


def test_a_file_that_is_wrong_is_named(files: tuple[str, str], game: Any, tmp_path: Path) -> None:
    odd = tmp_path / "odd.csv"
    odd.write_text("0.5,0.9\n0.2,0.5\n")
    assert game("solve", str(odd), "--method", "inpo", code=2) == (
        f"{odd}: preference matrix: P[0, 1] + P[1, 0] must be 1 (and P[i, i] 0.5), off by 0.1"
    )
    absent = tmp_path / "absent.csv"
    assert game("solve", str(absent), "--method", "inpo", code=2) == f"{absent}: No such file or directory"
    short = tmp_path / "short.json"
    short.write_text("[0.5, 0.5]")
    assert game("solve", files[0], "--reference", str(short), "--method", "inpo", code=2) == (
        "reference: 2 probabilities for 3 responses; give one for each row of the matrix"
    )


# --- EGPO's simulations (arXiv 2503.08942) ---------------------------------------------------------------------------

SIMULATIONS = {0.1: (0.1, 1000), 0.01: (0.02, 5000), 0.001: (0.0002, 100_000)}
"""By β, the game's τ: the learning rate and the number of updates."""

MEDIANS = {
    0.1: {"online_ipo": 1.4e-6, "nash_md": 1.5e-5, "nash_md_pg": 1.8e-2},
    0.01: {"online_ipo": 0.14, "nash_md": 2.4e-5, "nash_md_pg": 0.35},
    0.001: {"inpo": 1.7e-2, "online_ipo": 0.51, "nash_md": 1.7e-2, "nash_md_pg": 0.30},
}
"""Median gaps above 1e-6 of ten games of another draw."""


def simulate(beta: float) -> dict[str, dict[str, Any]]:
    """A gradient step with the learning rate l on the loss over pairs of ten actions has the step 4 l / (β 10)."""
    rate, updates = SIMULATIONS[beta]
    step = 4 * rate / (beta * 10)
    sets = [
        f"inpo.eta={1 / step}",
        f"online_ipo.learning_rate={rate}",
        f"nash_md.eta={step}",
        f"nash_md_pg.learning_rate={rate}",
        f"nash_md_pg.mixture={2 * rate / 10}",
        f"egpo.eta={step}",
    ]
    methods = ["inpo", "online_ipo", "nash_md", "nash_md_pg", "egpo"]
    source = Source(family="uniform", responses=10, games=100, seed=42)
    _, played = play(source, methods, beta, sets, [], updates)
    return {contender.method: summarise(curve) for contender, curve in played}


def check(simulations: dict[float, dict[str, dict[str, Any]]]) -> None:
    """EGPO alone solves every game at every β; the others' medians are of the known order of magnitude."""
    solved = {method for method in simulations[0.01] if all(by[method]["solved"] == 1 for by in simulations.values())}
    assert solved == {"egpo"}
    for beta, by_method in simulations.items():
        for method, median in MEDIANS[beta].items():
            assert median / 10 < by_method[method]["median_gap"] < 10 * median
        assert by_method["egpo"]["median_first_passage"] == pytest.approx(
            {0.1: 150, 0.01: 650, 0.001: 75750}[beta], rel=0.2
        )


def test_egpo_alone_solves_a_hundred_games_at_the_larger_kl_weights() -> None:
    check({beta: simulate(beta) for beta in (0.1, 0.01)})


@pytest.mark.slow
def test_egpo_alone_solves_a_hundred_games_at_every_kl_weight() -> None:
    check({beta: simulate(beta) for beta in SIMULATIONS})


def test_a_family_of_another_method_name_is_no_source() -> None:
    with pytest.raises(UserError, match="--family unifrom: unknown; did you mean uniform"):
        Source(family="unifrom").game(0.1)
