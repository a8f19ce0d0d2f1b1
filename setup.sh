# Source this file from bash or zsh: it prepares a virtual environment and activates it.
#
#     source setup.sh
#
# A ROOT that Python can import already (LCG view, conda, system) is used; elsewhere its wheel is
# installed. Everything goes into .venv of this folder, or into $M3L_VENV. That must be a new folder
# or the one that this checkout has made before, which its file m3l-checkout tells: nothing is ever
# removed from it, and nothing installed into that of another, since jobs may run in it.

_m3l_setup() {
    local here="$1" venv outside inside python made_with stamp made_as
    venv="${M3L_VENV:-$here/.venv}"
    venv="${venv%/}"
    case "$venv" in /*) ;; *) venv="$PWD/$venv" ;; esac

    # An environment of this script that is active is looked at from outside, also in a child shell,
    # which inherits it without the function `deactivate`.
    outside=":$PATH:"
    if [ -n "${VIRTUAL_ENV:-}" ] && [ -f "$VIRTUAL_ENV/m3l-setup" ]; then
        inside=":$VIRTUAL_ENV/bin:"
        outside=${outside//"$inside"/:}
    fi
    outside="${outside#:}"
    outside="${outside%:}"
    python="$(PATH="$outside"; unalias python3 2>/dev/null; command -v python3)" || {
        echo "m3l: python3 is missing; install Python 3.11 or newer" >&2
        return 1
    }
    if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        echo "m3l: $("$python" --version) is too old; Python 3.11 or newer is needed" >&2
        return 1
    fi
    # What an environment cannot change: Python without its last number, and where ROOT is, if
    # Python finds it; the folder that `import` looks into.
    made_with="$("$python" --version | cut -d . -f 1,2) and $("$python" -W ignore -c 'import os, ROOT
ROOT.gROOT.GetVersion()
print("the ROOT in", os.path.dirname(os.path.dirname(os.path.abspath(ROOT.__file__))))' \
        2>/dev/null | tail -n 1 | grep . || echo "the wheel of ROOT")"
    stamp="$(printf '%s\n%s' "$made_with" "$(cat "$here/pyproject.toml")")"

    _m3l_may_use "$here" "$venv" "$made_with" || return 1
    if [ "$(cat "$venv/m3l-setup" 2>/dev/null)" != "$stamp" ]; then
        if ! { mkdir -p "$venv" && touch "$venv/m3l-checkout"; }; then
            echo "m3l: the virtual environment $venv cannot be made, see above" >&2
            echo "m3l: (read-only folder or full disk: set M3L_VENV to another)" >&2
            return 1
        fi
        # The file with the owner is the lock as well. What runs in the parentheses keeps it open,
        # so that also a pip whose shell was killed is waited for.
        (_m3l_prepare "$here" "$venv" "$python" "$made_with" "$stamp") \
            9>>"$venv/m3l-checkout" || return 1
    fi
    command -v c++ >/dev/null || command -v g++ >/dev/null ||
        echo "m3l: warning: no C++ compiler (Debian: apt install g++); code will be interpreted" >&2
    made_as="$(. "$venv/bin/activate" && echo "$VIRTUAL_ENV")"
    if ! [ "$made_as" -ef "$venv" ]; then
        echo "m3l: the environment $venv was made as $made_as and works only there: move it back," \
            "set M3L_VENV to another folder, or remove it when no job uses it" >&2
        return 1
    fi
    PATH="$outside"
    . "$venv/bin/activate"
}

# Whether this checkout may use a folder: it is new, empty, or its own and made with the same.
_m3l_may_use() {
    local here="$1" venv="$2" made_with="$3" owner with last gone="" or_remove=""
    owner="$(head -n 1 "$venv/m3l-checkout" 2>/dev/null)"
    with="$(tail -n +2 "$venv/m3l-checkout" 2>/dev/null)"
    if [ -z "$owner" ]; then
        [ -z "$(command ls -A "$venv" 2>/dev/null | grep -vx m3l-checkout)" ] && return
        # Earlier versions left one file, which ends with a line for Python and one for ROOT and the
        # checkout.
        last="$(tail -n 1 "$venv/m3l-setup" 2>/dev/null)"
        if [ "${last%" $here"}" != "$last" ]; then
            owner="$here"
            last="${last%" $here"}"
            with="$(tail -n 2 "$venv/m3l-setup" | head -n 1 | cut -d . -f 1,2) and"
            with="$with the ${last:+ROOT in }${last:-wheel of ROOT}"
        fi
    fi
    if [ -z "$owner" ]; then
        echo "m3l: $venv holds something else than an environment of this checkout: set M3L_VENV" \
            "to a new folder, or remove that one" >&2
        return 1
    elif [ "$owner" != "$here" ] && ! [ "$owner" -ef "$here" ]; then
        [ -d "$owner" ] || gone=", which is not there any more"
        # That of a checkout which was moved or copied names the old place in all its programs.
        case "$gone:$venv/" in
        ,* | :"$here"/*) or_remove=", or remove that one when no job uses it" ;;
        esac
        echo "m3l: the environment $venv belongs to the checkout $owner$gone: set M3L_VENV to" \
            "another folder for $here$or_remove" >&2
        return 1
    elif [ "$with" != "$made_with" ]; then
        echo "m3l: the environment $venv was made with $with, this shell has $made_with: use those," \
            "set M3L_VENV to another folder, or remove that one when no job uses it" >&2
        return 1
    fi
}

# Makes the environment, or installs what changed into it. Interrupted, the next call goes on.
_m3l_prepare() {
    local here="$1" venv="$2" python="$3" made_with="$4" stamp="$5" extras="ml,stats,test" root_at site
    # Where the file system cannot lock, two shells at once do the same work.
    "$python" -c 'import fcntl, sys
try:
    fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("m3l: another shell is preparing", sys.argv[1] + ", waiting for it", flush=True)
    fcntl.flock(9, fcntl.LOCK_EX)
except OSError:
    pass' "$venv" || return 1
    _m3l_may_use "$here" "$venv" "$made_with" || return 1
    [ "$(cat "$venv/m3l-setup" 2>/dev/null)" = "$stamp" ] && return
    [ -s "$venv/m3l-checkout" ] || printf '%s\n%s\n' "$here" "$made_with" >&9 || return 1

    echo "m3l: preparing $venv, which takes some minutes the first time"
    root_at="${made_with#* and the ROOT in }"
    if [ "$root_at" != "$made_with" ]; then
        echo "m3l: using the ROOT in $root_at"
        "$python" -m venv --system-site-packages "$venv" >&2
    else
        extras="root,$extras"
        "$python" -m venv "$venv" >&2
    fi || {
        echo "m3l: the virtual environment $venv cannot be made, see above" >&2
        echo "m3l: (Debian: apt install python3-venv; full disk: set M3L_VENV to another)" >&2
        return 1
    }
    site="$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
    # An environment that is active now would be hidden by the new one.
    [ "$root_at" = "$made_with" ] || "$venv/bin/python" -W ignore -c 'import ROOT' 2>/dev/null ||
        echo "$root_at" >"$site/m3l-root.pth"
    # What a killed pip had installed in part has no list of its files, and would be kept as it is.
    [ -z "$site" ] || find "$site" -maxdepth 1 -name '*.dist-info' \
        ! -exec test -e '{}/RECORD' \; -exec rm -rf '{}' +
    if ! "$venv/bin/python" -m pip install -qq --disable-pip-version-check \
        --editable "${here}[${extras}]"; then
        echo "m3l: packages could not be installed, see above; then source setup.sh again" >&2
        return 1
    fi
    if ! "$venv/bin/python" -W ignore -c 'import ROOT; ROOT.gROOT.GetVersion()'; then
        echo "m3l: ROOT cannot be imported, see above" >&2
        return 1
    fi
    if ! printf '%s' "$stamp" >"$venv/m3l-setup.new" ||
        ! command mv -f "$venv/m3l-setup.new" "$venv/m3l-setup"; then
        echo "m3l: $venv/m3l-setup cannot be written, see above; then source setup.sh again" >&2
        return 1
    fi
}

if [ -n "${BASH_VERSION:-}" ]; then
    _m3l_setup "$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)"
elif [ -n "${ZSH_VERSION:-}" ]; then
    # The name of this file in zsh, written so that bash can read past it.
    _m3l_setup "$(cd "$(dirname "$(eval 'echo "${(%):-%x}"')")" && pwd -P)"
else
    echo "m3l: source setup.sh from bash or zsh" >&2
    false
fi
_m3l_status=$?
unset -f _m3l_setup _m3l_may_use _m3l_prepare
(exit $_m3l_status)
