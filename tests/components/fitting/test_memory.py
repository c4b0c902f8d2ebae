"""Out of memory: a process that may have little says what to set, and that suffices."""

import subprocess
import sys

import pytest
import torch

from nashflow.components.core.errors import UserError
from nashflow.components.fitting.memory import Memory, enough_for

CODE = """
import resource, sys, torch
from nashflow.components.core.errors import UserError
from nashflow.components.fitting.memory import Memory

def a_pass(tokens):
    with memory.of_pass(tokens, longest=int(sys.argv[1])):
        kept = []
        for _ in range(40):
            kept.append(torch.ones(tokens * 128))

torch.ones(2**20)  # starts torch's threads
memory = Memory(torch.device("cpu"), "training.micro_batch_tokens")
tokens = int(sys.argv[2])
if tokens:
    a_pass(tokens)
pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (4096 * pages + 200 * 2**20,) * 2)
try:
    a_pass(15_000)
except UserError as error:
    line = str(error)
print(line)
if " at most " in line:
    a_pass(int(line.split()[-1]))
"""


def said(longest: int, tokens_before: int) -> str:
    arguments = [sys.executable, "-c", CODE, str(longest), str(tokens_before)]
    return subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("before", [0, 2000])
def test_what_is_advised_suffices(before: int) -> None:
    """The process has 200 MiB to spare, and a token takes 20 kiB."""
    line = said(100, before)
    assert line.startswith("out of memory in a pass over 15,000 tokens, which had taken 0.1")
    advised = int(line.rpartition("set training.micro_batch_tokens to at most ")[2])
    assert 5_000 < advised < 10_000 if before else advised == 7_500


def test_a_pair_that_is_too_long_by_itself_is_another_matter() -> None:
    line = said(14_000, 0)
    assert "give the training more memory, or set training.adapter to lora" in line
    assert line.endswith("the longest pair alone has 14,000 tokens, and about 7,500 fit")


def test_other_errors_are_not_about_memory() -> None:
    memory = Memory(torch.device("cpu"), "micro_batch_tokens")
    step = ("weights, gradients and AdamW's state", "in AdamW's step")
    for block in (memory.of_pass(10, 5), enough_for(*step)):
        with pytest.raises(RuntimeError, match="shapes"), block:
            raise RuntimeError("shapes differ")
    line = r"^out of memory in AdamW's step, .* AdamW's state alone do not fit$"
    with pytest.raises(UserError, match=line), enough_for(*step):
        raise MemoryError
