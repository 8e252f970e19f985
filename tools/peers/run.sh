#!/usr/bin/env bash
# Times the same networks, weights and inputs in PyTorch and in this library, and prints the ratios.
# Needs a Python with the packages of tools/golden/requirements.txt (PYTHON=...); leave the machine alone meanwhile.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=out/peers
python=${PYTHON:-python3}
mkdir -p "$out"
[ -d "$out/models" ] || "$python" tools/peers/make_models.py "$out/models"
cargo build --release -p dlm-benches --bin peers
# Through cargo, which sets what .cargo/config.toml asks of the allocator.
cargo run --release -p dlm-benches --bin peers -- "$out/models" > "$out/dlm.jsonl"
{ "$python" -B tools/peers/encoder.py "$out/models"; "$python" -B tools/peers/train_step.py "$out/models"; } > "$out/pytorch.jsonl"
"$python" tools/peers/compare.py "$out/pytorch.jsonl" "$out/dlm.jsonl"
