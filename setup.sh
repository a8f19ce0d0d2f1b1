# Source this file from bash or zsh: it prepares a virtual environment and activates it.
#
#     source setup.sh
#
# A ROOT that Python can import already (LCG view, conda, system) is used; elsewhere its wheel is
# installed. Everything goes into .venv of this folder, or into $M3L_VENV.

_m3l_setup() {
    local here="$1" python=python3 venv extras stamp root_at
    venv="${M3L_VENV:-$here/.venv}"

    if [ "${VIRTUAL_ENV:-}" = "$venv" ]; then
        # Sourced twice: look from outside of our own environment.
        deactivate 2>/dev/null
    fi
    if ! command -v "$python" >/dev/null; then
        echo "m3l: python3 is missing; install Python 3.11 or newer" >&2
        return 1
    fi
    if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        echo "m3l: $("$python" --version) is too old; Python 3.11 or newer is needed" >&2
        return 1
    fi
    # Where ROOT is, if Python finds it; the folder that `import` looks into.
    root_at="$("$python" -W ignore -c 'import os, ROOT
ROOT.gROOT.GetVersion()
print(os.path.dirname(os.path.dirname(os.path.abspath(ROOT.__file__))))' 2>/dev/null | tail -n 1)"

    stamp="$(cat "$here/pyproject.toml" && "$python" --version && echo "$root_at $here")"
    if [ "$(cat "$venv/m3l-setup" 2>/dev/null)" != "$stamp" ]; then
        echo "m3l: preparing $venv, which takes some minutes the first time"
        extras="ml,test"
        if [ -n "$root_at" ]; then
            echo "m3l: using the ROOT in $root_at"
            "$python" -m venv --clear --system-site-packages "$venv" >&2 || {
                _m3l_no_venv "$venv"
                return 1
            }
            # An environment that is active now would be hidden by the new one.
            "$venv/bin/python" -W ignore -c 'import ROOT' 2>/dev/null ||
                echo "$root_at" >"$("$venv/bin/python" -c \
                    'import sysconfig; print(sysconfig.get_path("purelib"))')/m3l-root.pth"
        else
            extras="root,$extras"
            "$python" -m venv --clear "$venv" >&2 || {
                _m3l_no_venv "$venv"
                return 1
            }
        fi
        if ! "$venv/bin/python" -m pip install -qq --disable-pip-version-check \
            --editable "${here}[${extras}]"; then
            echo "m3l: packages could not be installed, see above; then source setup.sh again" >&2
            return 1
        fi
        if ! "$venv/bin/python" -W ignore -c 'import ROOT; ROOT.gROOT.GetVersion()'; then
            echo "m3l: ROOT cannot be imported, see above" >&2
            return 1
        fi
        printf '%s' "$stamp" >"$venv/m3l-setup"
    fi
    command -v c++ >/dev/null || command -v g++ >/dev/null ||
        echo "m3l: warning: no C++ compiler (Debian: apt install g++); code will be interpreted" >&2
    . "$venv/bin/activate"
}

_m3l_no_venv() {
    echo "m3l: the virtual environment $1 cannot be made, see above" >&2
    echo "m3l: (Debian: apt install python3-venv; read-only folder: set M3L_VENV to another)" >&2
}

if [ -n "${BASH_VERSION:-}" ]; then
    _m3l_setup "$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
elif [ -n "${ZSH_VERSION:-}" ]; then
    # The name of this file in zsh, written so that bash can read past it.
    _m3l_setup "$(cd "$(dirname "$(eval 'echo "${(%):-%x}"')")" && pwd)"
else
    echo "m3l: source setup.sh from bash or zsh" >&2
    false
fi
_m3l_status=$?
unset -f _m3l_setup _m3l_no_venv
(exit $_m3l_status)
