# Sourced by the scripts beside it: makes .venv inside the checkout, with qtool and what its tests need.
#
# Needs Python 3.11 or newer and a package index that pip can reach. Sets $root and $bin; what it has to say goes to
# stderr. A stamp makes every run after the first one a matter of milliseconds.

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P) || exit 1
venv=$root/.venv
bin=$venv/bin

# Somebody else's module path would be searched before what is installed here.
unset PYTHONPATH PYTHONHOME

find_python() {
    for candidate in python3 python3.14 python3.13 python3.12 python3.11 python; do
        # Being found is not enough: a version manager's shim exists for versions that are not installed.
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return 0
        fi
    done
    return 1
}

# What the stamp says: it changes with the dependencies, with these instructions and with the place of the checkout.
fingerprint() {
    "$bin/python" -I - "$root" 2>/dev/null <<'END'
import hashlib, pathlib, sys
root = pathlib.Path(sys.argv[1])
content = b"".join((root / name).read_bytes() for name in ("pyproject.toml", "scripts/environment.sh"))
print(hashlib.sha256(content + bytes(root)).hexdigest())
END
}

# Programs in an environment name their interpreter by its whole path: one that was moved has to be made anew.
usable() {
    grep -qsF "$venv" "$bin/activate" && "$bin/python" -I -m pip --version
}

install() {
    "$bin/python" -m pip install --upgrade 'pip>=25.1' &&
        "$bin/python" -m pip install --editable "$root" --group "$root/pyproject.toml:dev"
}

if ! [ -f "$venv/stamp" ] || [ "$(fingerprint)" != "$(cat "$venv/stamp")" ]; then
    if ! python=$(find_python); then
        echo "qtool needs Python 3.11 or newer with its venv module, and found none in PATH." >&2
        echo "On Debian and Ubuntu: apt install python3 python3-venv" >&2
        exit 1
    fi
    printf 'Making %s (once; about a minute) ... ' "$venv" >&2
    rm -f "$venv/stamp"
    if ! usable >/dev/null 2>&1 && ! "$python" -m venv --clear "$venv" >&2; then
        echo "failed: $python cannot make it." >&2
        exit 1
    fi
    if ! (export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 && install) >"$venv/install.log" 2>&1 </dev/null; then
        echo "failed:" >&2
        tail -n 15 "$venv/install.log" >&2
        echo "All of it is in $venv/install.log. Once its cause is gone, run this again." >&2
        exit 1
    fi
    fingerprint >"$venv/stamp"
    echo "done." >&2
fi
