#!/bin/sh
# Makes what a front and two match nodes need: three data directories under $1 (match-1, match-2, front), all certificates from
# the authority of match-1, the front's files in front/split. What is there stays as it is.
set -eu
root=$1
test -e "$root/front/split/done" && exit 0
for place in match-1 match-2 front; do
    test -e "$root/$place/FORMAT" || thenar init --data "$root/$place"
done
authority=$root/match-1
for name in match-1 match-2; do
    test -e "$root/$name/split/node.pem" ||
        thenar cert node --data "$authority" --kind match --name "$name" --dns "$name" --out "$root/$name/split"
    cp "$authority/tls/ca.pem" "$root/$name/split/ca.pem"
done
split=$root/front/split
test -e "$split/node.pem" || thenar cert node --data "$authority" --kind front --name front --dns front --out "$split"
test -e "$split/server.pem" || thenar cert server --data "$authority" --dns front --out "$split"
cp "$authority/tls/ca.pem" "$authority/tls/admin.pem" "$authority/tls/admin.key" "$split/"
touch "$split/done"
