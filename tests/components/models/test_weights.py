import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from nashflow.components.core.errors import UserError
from nashflow.components.models.weights import weights_digest
from tests.fixtures import models


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return models.llama(tmp_path_factory.mktemp("llama"), ("a", "b", "c", "d"))


@pytest.fixture
def folder(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "model"))


def test_the_digest_does_not_depend_on_how_tensors_are_spread_over_files(folder, tmp_path):
    tensors = load_file(folder / "model.safetensors")
    names = list(tensors)
    split = tmp_path / "split"
    split.mkdir()
    save_file({name: tensors[name] for name in names[1::2]}, split / "model-00001-of-00002.safetensors")
    save_file(
        {name: tensors[name] for name in names[::2]}, split / "model-00002-of-00002.safetensors", {"format": "pt"}
    )
    assert weights_digest(split) == weights_digest(folder)


def test_the_digest_changes_with_one_bit_a_name_a_shape_and_a_dtype(folder):
    file = folder / "model.safetensors"
    tensors = load_file(file)
    digests = {weights_digest(folder)}
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    digests.add(weights_digest(folder))
    name, tensor = next((name, tensor) for name, tensor in tensors.items() if tensor.dim() == 2)
    for changed in (
        {**tensors, name: tensor.reshape(-1, 2)},
        {**tensors, name: tensor.view(torch.int32)},
        {**{key: value for key, value in tensors.items() if key != name}, "renamed": tensor},
    ):
        save_file(changed, file)
        digests.add(weights_digest(folder))
    assert len(digests) == 5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64, torch.int64, torch.bool])
def test_the_digest_equals_one_over_the_loaded_tensors(tmp_path, dtype):
    tensors = {
        "b": torch.arange(6).reshape(2, 3).to(dtype),
        "a": torch.ones(0, 4).to(dtype),
        "ä": torch.tensor(1).to(dtype),
    }
    save_file(tensors, tmp_path / "x.safetensors")
    names = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float64: "F64", torch.int64: "I64", torch.bool: "BOOL"}
    expected = hashlib.sha256()
    for name in ("a", "b", "ä"):
        expected.update(json.dumps([name, names[dtype], list(tensors[name].shape)]).encode())
        expected.update(tensors[name].reshape(-1).view(torch.uint8).numpy().tobytes())
    assert weights_digest(tmp_path) == expected.hexdigest()


def test_the_digest_reads_tensors_larger_than_a_block(tmp_path):
    numbers = np.arange(3_000_000, dtype=np.float32)
    save_file({"x": torch.from_numpy(numbers)}, tmp_path / "x.safetensors")
    first = weights_digest(tmp_path)
    numbers[1_500_000] += 1
    save_file({"x": torch.from_numpy(numbers)}, tmp_path / "x.safetensors")
    assert weights_digest(tmp_path) != first


def test_the_digest_refuses_files_that_are_cut_short_doubled_or_absent(folder):
    file = folder / "model.safetensors"
    whole = file.read_bytes()
    shutil.copy(file, folder / "copy.safetensors")
    with pytest.raises(UserError, match=r"holds the tensor .* twice"):
        weights_digest(folder)
    (folder / "copy.safetensors").unlink()
    for size, reason in (
        (len(whole) - 1, "is cut short"),
        (100, "not a safetensors file"),
        (3, "not a safetensors file"),
    ):
        file.write_bytes(whole[:size])
        with pytest.raises(UserError, match=reason):
            weights_digest(folder)
    file.unlink()
    with pytest.raises(UserError, match="has no"):
        weights_digest(folder)


FLOATS = {
    torch.float64: (np.inf, -np.inf, np.nan),
    torch.float32: (np.inf, -np.inf, np.nan),
    torch.bfloat16: (np.inf, -np.inf, np.nan),
    torch.float16: (np.inf, -np.inf, np.nan),
    torch.float8_e5m2: (np.inf, -np.inf, np.nan),
    torch.float8_e4m3fn: (np.nan,),  # it has no infinity
    torch.complex64: (complex(0, np.nan),),
}


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_tensor_with_a_number_that_is_not_finite_is_named(tmp_path, dtype):
    file, limits = tmp_path / "model.safetensors", torch.finfo(dtype)
    whole = torch.tensor(
        [0.0, limits.max, limits.min, limits.tiny], dtype=torch.complex128 if dtype.is_complex else torch.float64
    )
    save_file({"whole": whole.to(dtype)}, file)
    weights_digest(tmp_path)
    for number in FLOATS[dtype]:
        save_file({"whole": whole.to(dtype), "layer.7.damaged": torch.tensor([0, number, 1]).to(dtype)}, file)
        with pytest.raises(UserError) as caught:
            weights_digest(tmp_path)
        expected = f"{file}: the tensor layer.7.damaged holds a number that is infinite or NaN: "
        assert str(caught.value).startswith(expected)


def test_a_number_that_is_not_finite_is_found_beyond_the_first_block(tmp_path):
    numbers = torch.zeros(3_000_001)
    numbers[-1] = np.nan
    save_file({"x": numbers}, tmp_path / "x.safetensors")
    with pytest.raises(UserError, match="the tensor x holds"):
        weights_digest(tmp_path)


def test_integers_of_any_bits_are_weights(tmp_path):
    bits = torch.tensor([-1, 2**31 - 1, 0x7FC00000], dtype=torch.int32)
    save_file({"i": bits, "b": bits.clone().view(torch.uint8), "t": bits == bits}, tmp_path / "x.safetensors")
    weights_digest(tmp_path)
