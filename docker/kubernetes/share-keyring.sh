#!/bin/sh
# Gives the keyring of the administrators' front (admin.yaml) to the other fronts (front.yaml): copies it into their secret and starts them again.
# To be run after the first start, after a tenant was made or dropped, and after a rotation of a transform key has ended. The keyring is
# wrapped by the key-encryption key all the way. Arguments go to every kubectl: share-keyring.sh --namespace palms
set -eu
# Apart from what follows, so that a copy that failed replaces nothing.
keyring=$(kubectl "$@" exec thenar-admin-0 --container thenar -- cat /data/thenar/keyring)
test -n "$keyring"
secret=$(printf %s "$keyring" |
    kubectl "$@" create secret generic thenar-front-keyring --from-file=keyring=/dev/stdin --dry-run=client --output yaml)
printf '%s\n' "$secret" | kubectl "$@" apply --server-side --filename -
kubectl "$@" rollout restart deployment/thenar-front
kubectl "$@" rollout status deployment/thenar-front
