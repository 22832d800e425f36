#!/usr/bin/env bash
# Runs the Python example against a server of its own, in a temporary folder, and removes both.
# usage: run.sh THENAR PYTHON, the built binary and an interpreter that has requirements.txt installed
set -euo pipefail

if [[ $# -ne 2 ]]; then
    printf 'usage: %s THENAR PYTHON\n' "$0" >&2
    exit 2
fi
thenar=$(realpath "$1")
python=$(realpath --no-symlinks "$2")
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=$(mktemp -d)
data=$folder/data
server=""

finish() {
    local code=$?
    if [[ -n $server ]]; then
        kill "$server" 2>/dev/null || true
        wait "$server" || true
    fi
    if [[ $code -ne 0 && -s $folder/log ]]; then
        printf -- '--- the last lines of the server'\''s log\n' >&2
        tail -n 40 "$folder/log" >&2
    fi
    rm -rf "$folder"
}
trap finish EXIT

"$thenar" init --data "$data"
# Metrics off: another server of this machine may have their port.
THENAR_METRICS__ENABLED=false "$thenar" serve --data "$data" --listen 127.0.0.1:0 --address-file "$folder/address" >"$folder/log" 2>&1 &
server=$!
for ((tries = 0; ; tries++)); do
    if [[ -s $folder/address ]]; then
        break
    fi
    if ! kill -0 "$server" 2>/dev/null || ((tries == 300)); then
        printf 'the server is not ready after %d s\n' $((tries / 10)) >&2
        exit 1
    fi
    sleep 0.1
done
# The certificate is of names, so the port is joined to one of them.
port=$(sed 's/.*://' "$folder/address")

"$thenar" tenant create demo --dim 256 --encoder sim/1 --threshold 0.5 --server "https://localhost:$port" --data "$data"
"$thenar" cert issue --data "$data" --tenant demo --role operator --name python --out "$data/certs"
"$python" "$here/demo.py" --server "localhost:$port" --ca "$data/tls/ca.pem" \
    --cert "$data/certs/python.pem" --key "$data/certs/python.key"
