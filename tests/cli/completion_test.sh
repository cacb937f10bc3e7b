# What the completion of `godwit completion SHELL` offers, asked without a terminal.
#   bash completion_test.sh bash GODWIT        zsh -f completion_test.sh zsh GODWIT
shell=$1 godwit=$2 faults=0

if [[ $shell == zsh ]]; then
  compdef() { :; }
  compadd() { [[ $1 == -- ]] && shift; offered=("$@"); }
  _files() { offered=(a-file); }
  source <("$godwit" completion zsh)
  offer() { words=("$@") CURRENT=$# offered=(); _godwit; }  # zsh filters by itself
else
  source <("$godwit" completion bash)
  offer() { COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)); _godwit; offered=("${COMPREPLY[@]}"); }
fi

# expect "WANTED" ARGUMENT…: WANTED is offered for the last argument.
expect() {
  local wanted=$1
  shift
  offer "$godwit" "$@"
  if [[ " ${offered[*]} " != *" $wanted "* ]]; then
    echo "$shell: godwit $*: expected $wanted among: ${offered[*]}"
    faults=$((faults + 1))
  fi
}

expect run ""
expect quantize "q"
expect --think-budget run --th
expect --image run -m model --im
expect auto run --think ""
expect tokenize debug ""
expect --plain debug tokenize --pl
expect perplexity eval ""
expect Q4_K_M quantize --type ""
expect official chat --history ""
expect zsh completion ""
cd "$(dirname "$godwit")" || exit 1
if [[ $shell == bash ]]; then expect godwit run --image godwi; else expect a-file run --image x; fi
exit $((faults > 0))
