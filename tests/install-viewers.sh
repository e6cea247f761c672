#!/bin/sh
# Installs what the tests with the OHIF viewer need: a browser with its driver from Debian, the viewer
# from npm into a folder. Does nothing where they are there.
#   tests/install-viewers.sh FOLDER
set -eu
folder="$1"
version=3.13.2
digest=b189d3963bfc58e9394a9db8c7be75d07beb029ec211dbb126d47b62969dd3f1
missing=""
[ -x /usr/bin/chromium ] || missing="$missing chromium"
[ -x /usr/bin/chromedriver ] || missing="$missing chromium-driver"
[ -e "$folder/$version" ] || command -v npm >/dev/null 2>&1 || missing="$missing npm"
if [ -n "$missing" ]; then
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        echo "Not installed (needs root on Debian):$missing" >&2
        echo "The tests that need them will be skipped, and say so." >&2
        exit 0
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # shellcheck disable=SC2086
    apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi
[ -e "$folder/$version" ] && exit 0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && npm pack --silent --cache "$work/cache" "@ohif/app@$version" >/dev/null)
echo "$digest  $work/ohif-app-$version.tgz" | sha256sum --check --quiet
tar -xzf "$work/ohif-app-$version.tgz" -C "$work" package/dist package/LICENSE
rm -rf "$folder"
mv "$work/package" "$folder"
touch "$folder/$version"
