"""Run roots that pods can reach, and that are a firing's own; where the compiled pipeline is kept."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nashflow.components.core.errors import UserError
from nashflow.pipelines.cluster.submission.package import Package, firing_root_of, submitted_root_of

from ..conftest import Call
from ..server import KfpServer


def package(default: str = "") -> Package:
    return Package(Path("p.yaml"), "a", "0", {"run_root": default}, "", "a recipe")


GOOD = ["s3://bucket/runs/one", "s3://bucket/{job}", "s3://bucket/runs/{job}/", "s3://b.c/{job}/x", "s3://b/$x/[bold]"]
BAD = {
    "": "no run root: give --run-root s3://bucket/prefix, or set cluster.run_root",
    "runs/x": "run root runs/x: pods can only use s3://; give s3://bucket/prefix",
    "gs://bucket/runs": "run root gs://bucket/runs: pods can only use s3://",
    "file:///models/x": "pods can only use s3://",
    "S3://bucket/x": "pods can only use s3://",
    "s3://bucket": "s3://bucket/prefix",
    "s3://bucket/": "s3://bucket/prefix",
    "s3:///prefix": "s3://bucket/prefix",
    "s3://{job}/prefix": "s3://bucket/prefix",
    "/elsewhere/x": "give s3://bucket/prefix",
    "/models": "give s3://bucket/prefix",
    "/models/../etc": "give s3://bucket/prefix",
    "/models-too/x": "give s3://bucket/prefix",
    "s3://bucket/{jobb}": "run root 's3://bucket/{jobb}' is no place that pods are told unchanged",
    "s3://bucket/{{job}}": "nothing but {job}, for the run's own folder, in braces",
    "s3://bucket/{{x": "nothing but {job}, for the run's own folder, in braces",
    "s3://bucket/}": "nothing but {job}, for the run's own folder, in braces",
    "s3://bucket/{ job }": "nothing but {job}, for the run's own folder, in braces",
    "s3://bucket/$(AWS_SECRET_ACCESS_KEY)": "without line breaks, $(, $$ and [[",
    "s3://bucket/$$(X)/{job}": "without line breaks, $(, $$ and [[",
    "s3://bucket/[[CurrentTime]]": "without line breaks, $(, $$ and [[",
    "s3://bucket/a\nb": "without line breaks, $(, $$ and [[",
    "s3://bucket/a$$b": "without line breaks, $(, $$ and [[",
}


@pytest.mark.parametrize("root", GOOD)
def test_a_run_root_that_pods_reach_is_taken_as_it_is(root: str) -> None:
    assert submitted_root_of(package(), root) == root
    assert submitted_root_of(package(root), "") == root


@pytest.mark.parametrize("root", BAD)
def test_any_other_is_refused(root: str) -> None:
    for take in (submitted_root_of, firing_root_of):
        with pytest.raises(UserError) as refusal:
            take(package(), root)
        assert BAD[root] in str(refusal.value)


@pytest.mark.parametrize("root", ["s3://b/runs", "s3://b/{job}/runs", "s3://b/{job}/{job}", "s3://b/{job}/runs/"])
def test_firings_lie_side_by_side(root: str) -> None:
    """Or no firing would see what earlier ones have taken."""
    with pytest.raises(
        UserError, match=r"its own run root in the same folder, .* put \{job\} into the last part and nowhere else"
    ):
        firing_root_of(package(), root)


segment = st.text(st.characters(exclude_characters="{}/", exclude_categories=["C"]), min_size=1)


@given(st.lists(segment, min_size=1), segment, segment)
def test_firings_whose_last_part_holds_the_job_are_taken(folders: list[str], before: str, after: str) -> None:
    root = "s3://" + "/".join([*folders, f"{before}{{job}}{after}"])
    assert firing_root_of(package(), root) == root


def test_a_package_is_a_yaml_file(submit: Call, kfp: KfpServer) -> None:
    done = submit("--package", "p.json")
    assert (done.code, done.line) == (
        2,
        "nashflow: --package p.json: a pipeline is a YAML file: give a name that ends in .yaml",
    )
    assert kfp.pipelines == {}
