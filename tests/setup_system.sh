#!/bin/sh
# Debian packages that the deeper tests want. Asks before it installs anything; CI=true means yes.
set -eu
PACKAGES="gcc libc6-dev"
missing=""
for package in $PACKAGES; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q "ok installed" || missing="$missing $package"
done
if [ -z "$missing" ]; then
  echo "nothing to install: $PACKAGES"
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  echo "not a Debian machine; the tests that want$missing are skipped"
  exit 0
fi
if [ "${CI:-}" != "true" ]; then
  printf 'install%s with apt-get? [y/N] ' "$missing"
  read -r answer
  [ "$answer" = "y" ] || exit 0
fi
apt-get update -q
# Word splitting makes the list of packages.
# shellcheck disable=SC2086
apt-get install -q -y --no-install-recommends $missing
