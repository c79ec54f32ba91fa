#!/usr/bin/env bash
# Builds dist/ivd-edge-agent_VERSION_ARCHITECTURE.deb, for the Debian release this runs on: the packages of
# requirements/run.txt by their hashes, this project's wheel, and the files `edge-agent service install` writes.
#
# With dpkg-deb alone: debhelper would bring its own idea of a virtual environment, of byte code and of the service's
# files, and each would have to be undone. The same commit gives the same bytes: every time is SOURCE_DATE_EPOCH, the
# order of files is dpkg-deb's, byte code names the installed path.
#
#   build.sh PYTHON     one with `build`, of the same minor version as the PCs'
set -euo pipefail
cd "$(dirname "$0")/../.."
python=$1
version=$("$python" -c 'from edge_agent.version import __version__; print(__version__)')
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export PYTHONHASHSEED=0 LC_ALL=C.UTF-8 TZ=UTC
umask 022

minor=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
next=$("$python" -c 'import sys; print("%d.%d" % (sys.version_info[0], sys.version_info[1] + 1))')
architecture=$(dpkg --print-architecture)
home=usr/lib/edge-agent
doc=usr/share/doc/ivd-edge-agent
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=$work/tree
packages=$tree/$home/lib/python$minor/site-packages

unpack() { # the wheels, as they are: a wheel's own RECORD stays true but for the programs left out here
    "$python" -m pip download --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: \
        --requirement requirements/run.txt --dest "$work/wheels"
    "$python" -m build --wheel --no-isolation --outdir "$work/wheels" . >"$work/build.log" 2>&1 ||
        { cat "$work/build.log" >&2; exit 1; }
    mkdir -p "$packages"
    for wheel in "$work"/wheels/*.whl; do
        "$python" -m zipfile -e "$wheel" "$packages"
    done
    rm -rf "$packages"/*.data/scripts
    find "$packages" -maxdepth 1 -name '*.data' -empty -delete
    if compgen -G "$packages/*.data" >/dev/null; then
        echo "A wheel brings files for other places than site-packages: $(cd "$packages" && echo *.data)" >&2
        exit 1
    fi
}

environment() { # what `python3 -m venv` makes, for the path it will have
    mkdir -p "$tree/$home/bin" "$tree/usr/bin"
    printf 'home = /usr/bin\ninclude-system-site-packages = false\nversion = %s\n' "$minor" >"$tree/$home/pyvenv.cfg"
    ln -s "/usr/bin/python$minor" "$tree/$home/bin/python"
    program edge-agent edge_agent.cli.main
    program analyser-sim simulators.cli
}

program() {
    printf '#!/%s/bin/python -I\nfrom %s import main\n\nmain()\n' "$home" "$2" >"$tree/usr/bin/$1"
    chmod 755 "$tree/usr/bin/$1"
}

service() { # one source for unit and module list: what `service install` writes on any other system
    PYTHONPATH=$packages "$python" -B -m edge_agent service install --root "$work/service" --python "/$home/bin/python" \
        >/dev/null
    install -D -m 644 "$work/service/etc/systemd/system/edge-agent.service" "$tree/usr/lib/systemd/system/edge-agent.service"
    install -D -m 644 "$work/service/etc/modules-load.d/edge-agent.conf" "$tree/usr/lib/modules-load.d/edge-agent.conf"
    mkdir -p "$tree/var/lib/ivd-edge-agent"
}

documents() { # the pages, and what they have their readers copy
    mkdir -p "$tree/$doc"
    cp --parents -t "$tree/$doc" README.md SECURITY.md docs/*.md docs/*.svg docs/consumer.py docs/decisions/* \
        drivers/README.md drivers/devices/*/README.md simulators/README.md config/asyncapi.yaml config/mosquitto/* config/prometheus/*
    install -m 644 config/edge-agent.toml "$tree/$doc/edge-agent.toml"
    install -m 644 config/debian/copyright "$tree/$doc/copyright"
    gzip -9nc CHANGELOG.md >"$tree/$doc/changelog.gz"
}

helpers() { # the manual page and the completion, where this version has them
    local page words=$work/completion
    for page in docs/*.1; do
        [ -e "$page" ] || continue
        mkdir -p "$tree/usr/share/man/man1"
        gzip -9nc "$page" >"$tree/usr/share/man/man1/${page##*/}.gz"
    done
    if PYTHONPATH=$packages "$python" -B -m edge_agent completion bash >"$words" 2>/dev/null; then
        install -D -m 644 "$words" "$tree/usr/share/bash-completion/completions/edge-agent"
    fi
}

control() {
    mkdir "$tree/DEBIAN"
    sed -e "s/@VERSION@/$version/" -e "s/@ARCHITECTURE@/$architecture/" -e "s/@PYTHON@/$minor/" \
        -e "s/@NEXT_PYTHON@/$next/" -e "s/@SIZE@/$(du -sk --apparent-size "$tree" | cut -f1)/" \
        -e "s/@MAINTAINER@/${DEB_MAINTAINER:-IVD edge agent <root@localhost>}/" config/debian/control.in \
        >"$tree/DEBIAN/control"
    install -m 755 config/debian/{postinst,prerm,postrm} "$tree/DEBIAN/"
    (cd "$tree" && find usr -type f | sort | xargs -d '\n' md5sum) >"$tree/DEBIAN/md5sums"
}

unpack
environment
service
documents
helpers
"$python" -m compileall -q -s "$tree" -p / --invalidation-mode unchecked-hash "$packages"
chmod -R u=rwX,go=rX "$tree"
control
find "$tree" -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +
mkdir -p dist
file=dist/ivd-edge-agent_${version}_$architecture.deb
dpkg-deb --root-owner-group -Zxz --threads-max=1 --build "$tree" "$file" >/dev/null
echo "$file"
