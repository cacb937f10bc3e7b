// godwit completion: asks the program itself for its commands and flags, so that the completion is
// never behind.
#include "cli/commands.h"
#include "cli/terminal.h"

namespace godwit::cli {
namespace {

// Words that a command's --help lists: flags everywhere, and the names of its subcommands.
constexpr const char* kBash = R"sh(# bash completion for godwit
_godwit() {
  local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} path=() i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case ${COMP_WORDS[i]} in
      -*) break ;;
      *) path+=("${COMP_WORDS[i]}")
         [[ ${path[0]} =~ ^(debug|eval)$ && ${#path[@]} -lt 2 ]] || break ;;
    esac
  done
  case $previous in
    --think) COMPREPLY=($(compgen -W "on off auto" -- "$word")); return ;;
    --kv) COMPREPLY=($(compgen -W "f32 f16 bf16 q8" -- "$word")); return ;;
    --template) COMPREPLY=($(compgen -W "qwen3.5 qwen3.5-small qwen3.6 qwen3.8" -- "$word")); return ;;
    --history) COMPREPLY=($(compgen -W "kept official" -- "$word")); return ;;
    --type) COMPREPLY=($(compgen -W "F32 F16 BF16 Q8_0 Q6_K Q5_K_M Q4_K_M Q4_K_S Q4_0 IQ4_XS IQ4_NL MXFP4" -- "$word")); return ;;
    completion) COMPREPLY=($(compgen -W "bash zsh" -- "$word")); return ;;
  esac
  local help words
  help=$("${COMP_WORDS[0]}" "${path[@]}" --help 2>/dev/null | sed '/^Without -m/,$d; /^Examples:/,$d')
  if [[ $word == -* ]]; then
    words=$(grep -oE -- '(^| |,)--?[a-z][a-z-]*' <<<"$help" | tr -d ' ,')
  else
    words=$(sed -n '/^Subcommands:/,/^$/p' <<<"$help" | sed -nE 's/^  ([a-z]+) .*/\1/p')
  fi
  COMPREPLY=($(compgen -W "$words" -- "$word"))
  # A line a file: names may have spaces.
  if [[ ${#COMPREPLY[@]} -eq 0 ]]; then mapfile -t COMPREPLY < <(compgen -f -- "$word"); fi
}
complete -o filenames -F _godwit godwit
)sh";

constexpr const char* kZsh = R"sh(#compdef godwit
# zsh completion for godwit
_godwit() {
  local -a verbs found
  local i help
  for ((i = 2; i < CURRENT; i++)); do
    [[ $words[i] == -* ]] && break
    verbs+=($words[i])
    [[ $verbs[1] == (debug|eval) && ${#verbs} -lt 2 ]] || break
  done
  case $words[CURRENT-1] in
    --think) compadd on off auto; return ;;
    --kv) compadd f32 f16 bf16 q8; return ;;
    --template) compadd qwen3.5 qwen3.5-small qwen3.6 qwen3.8; return ;;
    --history) compadd kept official; return ;;
    --type) compadd F32 F16 BF16 Q8_0 Q6_K Q5_K_M Q4_K_M Q4_K_S Q4_0 IQ4_XS IQ4_NL MXFP4; return ;;
    completion) compadd bash zsh; return ;;
  esac
  help=$($words[1] $verbs --help 2>/dev/null | sed '/^Without -m/,$d; /^Examples:/,$d')
  if [[ $words[CURRENT] == -* ]]; then
    found=(${(f)"$(grep -oE -- '(^| |,)--?[a-z][a-z-]*' <<<$help | tr -d ' ,')"})
  else
    found=(${(f)"$(sed -n '/^Subcommands:/,/^$/p' <<<$help | sed -nE 's/^  ([a-z]+) .*/\1/p')"})
  fi
  found=(${found:#})
  if (( ${#found} )); then compadd -- $found; else _files; fi
}
# Autoloaded from fpath this file is the function itself; sourced, it registers one.
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _godwit "$@"; else compdef _godwit godwit; fi
)sh";

}  // namespace

int completion_command(const std::string& shell) {
  return write_out(shell == "bash" ? kBash : kZsh) ? kDone : report(output_error());
}

}  // namespace godwit::cli
