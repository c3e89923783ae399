#!/bin/sh
# Install PostgreSQL from the packages of the system, unless it is there. Nothing is started: the tests run servers of their own.
set -eu

if command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "PostgreSQL is not installed, and there is no apt-get to install it with: install its server, with initdb in PATH" >&2
    exit 1
fi

as_root=""
[ "$(id -u)" = 0 ] || as_root=sudo
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get -qq update
# The settings come first, so that installing the server makes no cluster.
$as_root apt-get -qq install --no-install-recommends postgresql-common >/dev/null
echo "create_main_cluster = false" | $as_root tee -a /etc/postgresql-common/createcluster.conf >/dev/null
$as_root apt-get -qq install --no-install-recommends postgresql >/dev/null
