"""What a policy is: the digest of everything in its folder that decides what it says.

A policy has two digests. That of its weights (`weights.py`) names what was trained, whatever files hold it. That of the
whole policy takes in every file that transformers reads: another `rope_theta`, another chat template is another
policy. Units of work and caches are named by the second.
"""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from ..core.digests import digest_json, sha256_file
from ..storage.units import Manifest, read_once_while_asking
from .weights import weights_digest

_WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
_READ = (*_WEIGHTS, "*.json", "*.jinja", "*.model", "*.tiktoken", "*.py", "vocab.*", "merges.txt")
"""What transformers may open in a folder; `*` stands for folders too, such as `additional_chat_templates/`."""


def files_read(folder: Path) -> list[str]:
    """The names of the files in a policy's folder that transformers may open, sorted; hidden ones are left out."""
    names = (path.relative_to(folder) for place in ("*", "*/*") for path in folder.glob(place) if path.is_file())
    return sorted(name.as_posix() for name in names if _is_read(name))


def unlisted(folder: Path, listed: Iterable[str]) -> list[str]:
    """The files that transformers may open and a manifest does not list."""
    return sorted(set(files_read(folder)) - set(listed))


def digest_of(manifest: Manifest) -> str:
    """The digest of the whole policy that a manifest records."""
    files = {name: file.sha256 for name, file in manifest.files.items() if _is_read(Path(name))}
    return _digest(manifest.weights_digest, files)


@read_once_while_asking
def policy_digest(folder: Path) -> str:
    """The digest of the whole policy in a folder: that of a manifest which lists its files.

    Raises:
        UserError: as `weights_digest`.
    """
    files = {name: sha256_file(folder / name) for name in files_read(folder) if not _matches(name, _WEIGHTS)}
    return _digest(weights_digest(folder), files)


def _digest(weights: str, files: Mapping[str, str]) -> str:
    others = {name: digest for name, digest in files.items() if not _matches(name, _WEIGHTS)}
    return digest_json({"weights": weights, "files": others})


def _is_read(name: Path) -> bool:
    hidden = any(part.startswith(".") for part in name.parts)
    return not hidden and _matches(name.as_posix(), _READ)


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
