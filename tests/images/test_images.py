"""The built images, in containers such as a restricted cluster makes: any UID, nothing written but /tmp, no network."""

import json
import re
import subprocess
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.images.conftest import VERSION
from tests.images.containerfile import RUNTIMES, STAGES, install

pytestmark = [pytest.mark.images, pytest.mark.timeout(600)]

RESTRICTED: dict[str, Any] = {
    "user": "12345:54321",
    "read_only": True,
    "network_mode": "none",
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
}
STEPS = ("steps", "vllm", "training")
ENGINES = {"vllm": {"vllm"}, "training": {"deepspeed"}}
COMPILERS = "cc c++ gcc g++ clang clang++ tcc ld as nvcc make cmake rustc go"
MOST_MEGABYTES = {"steps": 2000, "client": 1130, "vllm": 4500, "training": 2400}

Image = Callable[[str], Any]


def run(engine: Any, image: Any, command: Sequence[str], **more: Any) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command in a container of its own."""
    tmpfs = {"tmpfs": {"/tmp": "mode=1777"}}
    container = engine.containers.create(image, list(command), **{**RESTRICTED, **tmpfs, **more})
    try:
        container.start()
        code = container.wait()["StatusCode"]
        return code, container.logs(stderr=False).decode(), container.logs(stdout=False).decode()
    finally:
        container.remove(force=True)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_who_it_is_and_what_it_says_of_itself(image: Image, runtime: str) -> None:
    config = image(runtime).attrs["Config"]
    assert config["User"] == "10001:0"
    assert "HOME=/tmp" in config["Env"]
    said = {name.removeprefix("org.opencontainers.image."): value for name, value in config["Labels"].items()}
    assert (said["title"], said["version"]) == (f"nashflow-{runtime}", VERSION)
    assert re.fullmatch("[0-9a-f]{40}", said["revision"])
    assert datetime.fromisoformat(said["created"]).year >= 2026


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_where_it_was_built_from_is_not_in_it(image: Image, runtime: str) -> None:
    """Addresses of package indexes may hold passwords: they are in the builder's stage alone."""
    built = image(runtime)
    assert [layer["CreatedBy"] for layer in built.history() if "PIP_" in layer["CreatedBy"]] == []
    assert [variable for variable in built.attrs["Config"]["Env"] if variable.startswith("PIP_")] == []


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_its_size(image: Image, runtime: str) -> None:
    assert image(runtime).attrs["Size"] / 1e6 < MOST_MEGABYTES[runtime]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_it_is_well_under_any_user_on_a_read_only_file_system(engine: Any, image: Image, runtime: str) -> None:
    code, out, err = run(engine, image(runtime), [*STAGES[-1].command("HEALTHCHECK"), "--json"])
    assert code == 0, out + err
    tried = {each["tried"] for each in json.loads(out)["findings"]}
    assert ENGINES.get(runtime, {"pyarrow"}) <= tried
    assert ("torch" in tried, "kfp" in tried) == (runtime in STEPS, runtime == "client")


def test_without_a_place_to_write_it_says_so(engine: Any, image: Image, tmp_path: Path) -> None:
    folders = [f"{tmp_path}:{folder}:ro" for folder in ("/tmp", "/var/tmp")]
    code, out, err = run(engine, image("steps"), STAGES[-1].command("HEALTHCHECK"), tmpfs={}, volumes=folders)
    assert (code, "Traceback" in err) == (1, False)
    assert "mount an emptyDir at /tmp" in out


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_no_compiler_and_nothing_of_ours_to_write_or_that_cannot_be_read(
    engine: Any, image: Image, runtime: str
) -> None:
    script = (
        f"for name in {COMPILERS}; do command -v $name; done; "
        "find /app -writable ! -type l; find /app ! -readable; find /app -type d ! -executable; "
        "find / -xdev -type d -name pip -path '*cache*' 2>/dev/null"
    )
    code, out, err = run(engine, image(runtime), ["sh", "-c", script], read_only=False)
    assert (out, err) == ("", "")
    assert code in (0, 1)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_what_is_installed_is_the_lock(engine: Any, image: Image, runtime: str) -> None:
    code = "from importlib.metadata import distributions as d; print(*(f'{x.name}=={x.version}' for x in d()))"
    exit_code, out, err = run(engine, image(runtime), ["python3", "-c", code])
    assert exit_code == 0, err
    installed = {normal(pin) for pin in out.split()} - {f"nashflow=={VERSION}"}
    locked = subprocess.run(install("lock", runtime), capture_output=True, text=True, check=True)
    assert {pin.replace("+cpu", "") for pin in installed} <= {normal(pin) for pin in locked.stdout.split()}


def normal(pin: str) -> str:
    name, version = pin.split("==")
    return f"{re.sub(r'[-_.]+', '-', name).lower()}=={version}"


@pytest.mark.parametrize(("runtime", "absent"), [*((runtime, "kfp") for runtime in STEPS), ("client", "torch")])
def test_what_belongs_elsewhere_is_not_in_it(engine: Any, image: Image, runtime: str, absent: str) -> None:
    code, _, err = run(engine, image(runtime), ["python3", "-c", f"import {absent}"])
    assert code == 1
    assert f"No module named '{absent}'" in err


GENERATE = """
import sys, torch
from transformers import LlamaConfig, LlamaForCausalLM
from vllm import LLM, SamplingParams
torch.manual_seed(0)
shape = dict(hidden_size=128, intermediate_size=256, num_hidden_layers=2, num_attention_heads=2, vocab_size=512)
model = LlamaForCausalLM(LlamaConfig(**shape, max_position_embeddings=256))
model.save_pretrained("/tmp/model")
prompt = [1, 5, 9, 13]
expected = model.generate(torch.tensor([prompt]), max_new_tokens=8, do_sample=False, eos_token_id=None)[0, 4:].tolist()
llm = LLM("/tmp/model", skip_tokenizer_init=True, enforce_eager=True, dtype="float32", enable_chunked_prefill=False,
          max_model_len=256, max_num_batched_tokens=256)
greedy = SamplingParams(max_tokens=8, temperature=0, ignore_eos=True, detokenize=False)
(out,) = llm.generate([{"prompt_token_ids": prompt}], greedy)
sys.exit(list(out.outputs[0].token_ids) != expected)
"""

TRAIN = """
import sys, torch, deepspeed
deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
torch.manual_seed(0)
inputs, plain, model = torch.randn(4, 8), torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)
model.load_state_dict(plain.state_dict())
reference = torch.optim.AdamW(plain.parameters(), 1e-2)
config = {"train_batch_size": 4, "zero_optimization": {"stage": 2}, "zero_allow_untested_optimizer": True}
engine, *_ = deepspeed.initialize(model=model, optimizer=torch.optim.AdamW(model.parameters(), 1e-2), config=config)
for _ in range(3):
    loss = engine(inputs).pow(2).mean()
    engine.backward(loss), engine.step()
    reference.zero_grad(), plain(inputs).pow(2).mean().backward(), reference.step()
sys.exit(not torch.allclose(model.weight, plain.weight, atol=1e-6))
"""


def test_vllm_for_cpus_generates_what_transformers_does(engine: Any, image: Image) -> None:
    variables = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_KVCACHE_SPACE": "1"}
    code, _, err = run(engine, image("vllm"), ["python3", "-c", GENERATE], environment=variables)
    assert code == 0, err[-3000:]


def test_deepspeed_on_cpus_trains_without_a_compiler_as_torch_does(engine: Any, image: Image) -> None:
    variables = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
    code, _, err = run(engine, image("training"), ["python3", "-c", TRAIN], environment=variables)
    assert code == 0, err[-3000:]


def test_the_client_compiles_a_shipped_recipe(engine: Any, image: Image) -> None:
    code, out, err = run(
        engine, image("client"), ["sh", "-c", "nashflow compile quickstart --output p.yaml && nashflow lint p.yaml"]
    )
    assert code == 0, err
    assert "no complaint" in out
