"""The runtimes: each has an image of its own."""

from typing import Literal

Runtime = Literal["steps", "vllm", "training"]
"""steps: what most steps need; vllm: generation with vLLM, and models on accelerators; training: DeepSpeed."""
