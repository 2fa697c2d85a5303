#!/usr/bin/env bash
# Record `make up` and a preview that adds a tenant, as docs/img/*.svg. Needs asciinema 2 and svg-term on the PATH (docs/img/README.md).
# Works on a clone of the current commit in a temporary folder, so neither this checkout nor its platform is touched.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
clone=$work/saas-in-eks
git clone --quiet "$(git -C "$here" rev-parse --show-toplevel)" "$clone"
cd "$clone"
trap 'make --silent down; rm -rf "$work"' EXIT
make --silent tools

record() { # NAME ROWS SHELL-COMMANDS
    export TERM=xterm-256color
    asciinema rec --quiet --cols 122 --rows "$2" --command "bash -ec '$3'" "$work/$1.cast" < /dev/null
    .venv/bin/python "$here/tidy.py" "$clone" < "$work/$1.cast" > "$work/$1.small.cast"
    svg-term --in "$work/$1.small.cast" --out "$here/$1.svg" --window --no-cursor --width 122 --height "$2"
}

record make-up 30 'printf "\e[1m$ make up\e[0m\n"; make --silent up'

cat >> tenants.yaml <<'YAML'

  - name: tenant-003
    source:
      url: https://github.com/stefanprodan/podinfo
      branch: master
YAML
source .local/env
record add-a-tenant 40 'printf "\e[1m$ git diff tenants.yaml\e[0m\n"; git --no-pager diff --color=always tenants.yaml; sleep 2
    printf "\n\e[1m$ pulumi preview --stack local\e[0m\n"; pulumi preview --stack local --non-interactive'
