#!/bin/sh
# Prints the key-encryption key for thenar: an example of `kek = { command = ["examples/kek-command.sh", "NAME"] }`.
# It takes the key from a directory of secrets as systemd (LoadCredential=) or a container platform mounts one. For a vault,
# put its client in the place of the last line, for instance: exec vault kv get -field=kek secret/thenar
# The protocol is in docs/operations.md: the key alone on standard output, words on standard error, 0 only with a key.
set -eu

if [ $# -ne 1 ]; then
    echo "usage: kek-command.sh NAME, with the directory of secrets in CREDENTIALS_DIRECTORY" >&2
    exit 64
fi
if [ -z "${CREDENTIALS_DIRECTORY:-}" ]; then
    echo "CREDENTIALS_DIRECTORY is not set" >&2
    exit 78
fi
case $1 in
*/*)
    echo "the name of a secret has no slash" >&2
    exit 64
    ;;
esac
if [ ! -r "$CREDENTIALS_DIRECTORY/$1" ]; then
    echo "there is no secret $1 in CREDENTIALS_DIRECTORY that this user may read" >&2
    exit 66
fi
exec cat -- "$CREDENTIALS_DIRECTORY/$1"
