"""docs/cluster.md: its commands parse, its values and recipes are accepted, and no image is left to a node's guess."""

import io
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from kubernetes.utils import parse_quantity

from nashflow.pipelines.cluster.schedules.cron import check_cron
from nashflow.pipelines.cluster.settings import ClusterSettings
from nashflow.pipelines.cluster.submission.package import compile_package, firing_root_of, submitted_root_of
from nashflow.pipelines.names import IMAGE
from nashflow.pipelines.recipe import load_recipe
from nashflow.pipelines.steps import STEPS
from tests.helm.command_line import asked
from tests.helm.rendering import CHART, Object, Values, chart, containers, merged, parsed, pod_specs

ROOT = CHART.parents[1]
PAGE = (ROOT / "docs/cluster.md").read_text()
FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```\n", re.M | re.S)
HEREDOC = re.compile(r"^(?P<command>[^\n]*)<<EOF\n(?P<text>.*?)^EOF\n", re.M | re.S)
OPTIONAL = {"RECIPE": "quickstart"}
"""What stands for something of the reader's."""


def blocks(page: str, language: str) -> list[str]:
    """The blocks of the page in a language."""
    return [block["text"] for block in FENCE.finditer(page) if block["language"] == language]


def shell(page: str) -> str:
    """The commands of the page, with the variables that they set."""
    text = "".join(blocks(page, ""))
    variables = dict(re.findall(r"\b([A-Z_]+)=([^\s$]+)", text)) | {"image": "steps"}
    return re.sub(r"\$(\w+)", lambda found: variables.get(found[1], found[0]), text)


def files(page: str) -> Mapping[str, str]:
    """The files that `cat` writes, by name; what comes from a pipe has the name -."""
    found: dict[str, str] = {}
    for part in HEREDOC.finditer(shell(page)):
        name = part["command"].partition(">")[2].strip("> ") or "-"
        found[name] = found.get(name, "") + ("---\n" if name == "-" else "") + part["text"]
    return found


def commands(page: str, name: str) -> list[list[str]]:
    """The words of every command that begins so, from the page and, unless it is only named, from its text."""
    inline = (" ".join(code.split()) for code in re.findall(r"`([^`]+)`", FENCE.sub("", page)))
    whole = (code for code in inline if re.match(rf"{name} \w+ ", code))
    text = "\n".join((HEREDOC.sub("", shell(page)), *whole))
    return [words for words in _split(text.replace("\\\n", " ")) if words[0] == name and len(words) > 1]


def _split(text: str) -> Iterator[list[str]]:
    for line in text.splitlines():
        lexer = shlex.shlex(io.StringIO(line), posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        for word in lexer:
            if set(word) <= set("();<>|&"):
                yield from [words] if words else []
                words = []
            else:
                words.append(word)
        yield from [words] if words else []


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the page writes, from which its commands are given."""
    for name, text in files(PAGE).items():
        (tmp_path / name).write_text(text)
    (tmp_path / "helm").symlink_to(ROOT / "helm")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_command_of_ours_is_one(folder: Path) -> None:
    seen = {}
    for words in commands(PAGE, "nashflow"):
        name, parameters = asked(words)
        seen[name] = parameters
        recipe = parameters.get("recipe")
        if recipe:
            loaded = load_recipe(OPTIONAL.get(recipe, recipe), parameters["overrides"] or [])
            package = compile_package(loaded, folder / "pipeline.yaml", parameters.get("first_iteration", 1))
            if name == "submit":
                assert submitted_root_of(package, parameters["run_root"])
            if name == "schedule apply":
                assert check_cron(parameters["cron"])
                assert firing_root_of(package, parameters["run_root"])
    assert seen.keys() >= {"doctor", "submit", "schedule apply", "report", "gc", "logs", "plan", "compile", "lint"}


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("nashflow submit quickstart --iterations-per-run 10", "No such option"),
        ("nashflow sbumit quickstart", "No such command"),
        ("nashflow schedule pause", "Missing parameter"),
    ],
)
def test_the_reader_sees_what_is_no_command(line: str, error: str) -> None:
    with pytest.raises(Exception, match=error):
        asked(shlex.split(line))


def release(words: list[str]) -> Mapping[str, str]:
    """What a helm command renders, from the values that it names."""
    values: list[Values] = []
    name, where, *options = (word for word in words[2:] if word != "--reuse-values")
    namespace = ""
    for option, value in zip(options[::2], options[1::2], strict=True):
        if option == "--namespace":
            namespace = value
        elif option == "--values":
            values.append(yaml.safe_load(Path(value).read_text()))
        else:
            key, _, given = value.partition("=")
            content = Path(given).read_text() if option == "--set-file" else yaml.safe_load(given)
            assert option in ("--set", "--set-file")
            for part in reversed(re.split(r"(?<!\\)\.", key)):
                content = {part.replace("\\.", "."): content}
            values.append(content)
    assert Path(where).resolve() == CHART
    return chart().render(merged(*values), name=name, namespace=namespace)


@pytest.mark.usefixtures("folder")
def test_what_helm_is_told_can_be_rendered_and_is_what_the_page_speaks_of() -> None:
    told = [words for words in commands(PAGE, "helm") if words[1] in ("install", "upgrade")]
    assert {words[1] for words in told} == {"install", "upgrade"}
    rolled = {word for words in commands(PAGE, "kubectl") for word in words if word.startswith("deployment/")}
    for words in told:
        objects = parsed(release(words))
        assert rolled <= {
            f"deployment/{found['metadata']['name']}" for found in objects if found["kind"] == "Deployment"
        }
        jobs = [found for found in objects if found["kind"] == "Job"]
        whole = "--reuse-values" not in words
        assert len(jobs) == 2 * whole, "the values of the last section schedule a run"


def images(objects: list[Object]) -> Iterator[str]:
    """The images of pods, and those that commands are given."""
    for _, spec in pod_specs(objects):
        for container in containers(spec):
            yield container["image"]
            yield from re.findall(r"cluster\.images\.\w+=(\S+)", "\n".join(container.get("args", ())))
    for found in objects:
        if found["kind"] == "ConfigMap":
            yield from re.findall(r"cluster\.images\.\w+=(\S+)", str(found["data"].get("schedules.yaml", "")))


@pytest.mark.usefixtures("folder")
def test_no_image_is_left_to_a_nodes_guess() -> None:
    named = [
        image for words in commands(PAGE, "helm") if words[1] == "install" for image in images(parsed(release(words)))
    ]
    named += images([found for found in yaml.safe_load_all(files(PAGE)["-"]) if found and found["kind"] == "Pod"])
    own = load_recipe("mine.yaml").cluster.images
    named += [own.steps, *sections()[0].images.model_dump().values()]
    named += [words[-1] for words in commands(PAGE, "podman") if words[1] == "push"]
    assert len(set(named)) == 4
    parts = {image: re.fullmatch(IMAGE, image) for image in named}
    assert [image for image, found in parts.items() if not (found and found["registry"])] == []


def sections() -> list[ClusterSettings]:
    """The sections `cluster` that the page shows."""
    shown = [yaml.safe_load(text) for text in blocks(PAGE, "yaml")]
    return [ClusterSettings.parse(part["cluster"], "docs/cluster.md") for part in shown]


def test_the_pods_of_the_page_are_pods_of_a_restricted_namespace() -> None:
    found = [made for made in yaml.safe_load_all(files(PAGE)["-"]) if made]
    (pod,) = [made for made in found if made["kind"] == "Pod"]
    kubernetes_validate.validate(pod, "1.29", strict=True)
    from tests.helm.pod_security import STANDARD

    assert [rule.__name__ for rule in STANDARD if list(rule(pod["spec"]))] == []
    assert {made["kind"] for made in found} == {"Pod", "Profile"}


def test_who_starts_a_run_in_kubeflows_pages_is_told_the_service_account() -> None:
    """The form knows only Kubeflow's own."""
    account = yaml.safe_load(files(PAGE)["mine.yaml"])["cluster"]["service_account"]
    assert re.search(rf"\*Create run\*.*?`{account}`", PAGE, re.S)
    values = {"runner": {"serviceAccount": {"name": account}}}
    notes = chart().render(values, name="nf", namespace="team")["nashflow/templates/NOTES.txt"]
    assert f"enter {account} as Service Account in the form *Create run*" in notes


KEPT = {"a node of kind, control plane and all": "950m", "Kubeflow Pipelines 2.17": "674m"}
"""CPU that pods ask for on a laptop's cluster before anything of ours is there."""


@pytest.mark.usefixtures("folder")
def test_the_page_fits_two_cores() -> None:
    (install,) = (words for words in commands(PAGE, "helm") if words[1] == "install")
    asked = {
        name: float(parse_quantity(containers(spec)[0]["resources"]["requests"]["cpu"]))
        for name, spec in pod_specs(parsed(release(install)))
    }
    servers = sum(cpu for name, cpu in asked.items() if name.startswith("Deployment"))
    step = max(load_recipe("mine.yaml").cluster.resources(step).cpu for step in STEPS)
    passing = max(cpu for name, cpu in asked.items() if not name.startswith("Deployment"))
    assert sum(float(parse_quantity(kept)) for kept in KEPT.values()) + servers + max(step, passing) <= 2
