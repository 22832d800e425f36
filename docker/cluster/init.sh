#!/bin/sh
# Makes what the profile `cluster` needs under $1: a bucket, a key for the match nodes, one for the fronts and one for the catalogs, an authority, and
# of each server a data directory with its certificates in cluster/. What is there stays as it is.
set -eu
umask 077
root=$1
test -e "$root/authority/done" && exit 0

# The object store takes each folder for a bucket.
mkdir -p "$root/objects/palms"

for tier in match front catalog; do
    key=$root/keys-$tier/kek
    if ! test -s "$key"; then
        od -An -v -tx1 -N32 /dev/urandom | tr -d ' \n' > "$key.new"
        test "$(wc -c < "$key.new")" -eq 64
        mv "$key.new" "$key"
    fi
done

# Only its authority is used; the key in it opens nothing of the cluster.
authority=$root/authority/data
test -e "$authority/FORMAT" || thenar init --data "$authority"

for name in match-a match-b match-c front-a front-b; do
    # The directory's own keyring, key and authority are not used either: keyrings of a cluster are objects in the bucket.
    test -e "$root/$name/FORMAT" || thenar init --data "$root/$name"
    files=$root/$name/cluster
    test -e "$files/node.pem" ||
        thenar cert node --data "$authority" --kind "${name%-*}" --name "$name" --dns "$name" --out "$files"
    cp "$authority/tls/ca.pem" "$files/ca.pem"
done
for name in front-a front-b; do
    files=$root/$name/cluster
    test -e "$files/server.pem" || thenar cert server --data "$authority" --dns "$name" --out "$files"
    cp "$authority/tls/admin.pem" "$authority/tls/admin.key" "$files/"
done
touch "$root/authority/done"
