#!/usr/bin/env bash
# What must hold before a change goes in; the last line is the count of tests.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo xtask ci --checks-only
cargo xtask test
