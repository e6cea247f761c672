#!/bin/sh
# Installs the real peers of the tests and the demo from Debian. Does nothing where they are there.
set -eu
missing=""
command -v /usr/bin/storescu >/dev/null 2>&1 || missing="$missing dcmtk"
command -v Orthanc >/dev/null 2>&1 || missing="$missing orthanc"
[ -e /usr/share/orthanc/plugins/libOrthancDicomWeb.so ] || missing="$missing orthanc-dicomweb"
[ -d /usr/lib/postgresql ] || missing="$missing postgresql"
command -v strace >/dev/null 2>&1 || missing="$missing strace"
command -v java >/dev/null 2>&1 || missing="$missing default-jre-headless"
[ -e /usr/share/java/pixelmed.jar ] || missing="$missing libpixelmed-java"
[ -z "$missing" ] && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "Not installed (needs root on Debian):$missing" >&2
    echo "The tests that need them will be skipped, and say so." >&2
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $missing >/dev/null
# The packages start services of their own; the tests start private ones on free ports.
for service in orthanc postgresql; do
    command -v systemctl >/dev/null 2>&1 && systemctl disable --now "$service" >/dev/null 2>&1 || true
done
