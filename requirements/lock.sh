#!/bin/sh
# Writes the hash-locked requirements of every extra. Addresses of indexes never get into them.
set -eu
cd "$(dirname "$0")/.."
UV="${UV:-.venv/bin/uv}"
lock() {
  name="$1"
  shift
  # xgboost's wheel asks for a GPU collective library of 469 MB; it trains, predicts and explains without it.
  "$UV" pip compile pyproject.toml "$@" --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
    --no-annotate --no-header --no-emit-package nvidia-nccl-cu12 --no-emit-package nvidia-nccl-cu13 --output-file "requirements/$name.txt"
}
for extra in aggregator registry scorer trainer demo dev; do
  lock "$extra" --extra "$extra"
done
lock broker --extra demo --extra kafka-broker
printf 'uv==0.13.9\nsetuptools==84.2.1\n' |
  "$UV" pip compile - --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
    --no-header --output-file requirements/bootstrap.txt
