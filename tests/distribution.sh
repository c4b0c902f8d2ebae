#!/bin/sh
# `make dist`: builds sdist and wheel into dist/, installs the wheel into an empty environment elsewhere, and runs the
# quickstart there. Given the Python to do it with; called from the root of a checkout.
set -eu
python=$1
checkout=$PWD
unset PYTHONPATH
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# The wheel is built from the sdist, so all that a build needs is in that.
rm -rf dist
"$python" -m venv "$scratch/build"
"$scratch/build/bin/pip" install --quiet build
"$scratch/build/bin/python" -m build --outdir dist >"$scratch/build.log" 2>&1 || { cat "$scratch/build.log" >&2; exit 1; }
wheel=$(echo "$checkout"/dist/*.whl)

shipped() { "$python" -m zipfile --list "$wheel" | awk '/^nashflow\// { print $1 }' | sort; }
git ls-files components pipelines | sed 's,^,nashflow/,' | sort >"$scratch/tracked"
if shipped | comm -13 - "$scratch/tracked" | grep .; then
  echo "dist: $wheel lacks these files: see packages and package-data in pyproject.toml" >&2
  exit 1
fi

"$python" -m venv "$scratch/empty"
"$scratch/empty/bin/pip" install --quiet --constraint constraints.txt torch
"$scratch/empty/bin/pip" install --quiet --constraint constraints.txt "${wheel}[client,steps]"
cd "$scratch"
empty/bin/nashflow run quickstart
ls -l "$checkout"/dist
