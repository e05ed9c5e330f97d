import type { CommandFacts, OptionFacts, ProgramFacts, ValueKind } from './command-tree.ts';

/** A zsh completion function; a file `_trace` somewhere in $fpath, or sourced after compinit. */
export function zshCompletion(program: ProgramFacts): string {
  const { name } = program;
  const describe = program.commands.map((c) => `    ${quote(`${c.name}:${c.summary}`)}`);
  return `#compdef ${name}
# zsh completion of ${name} ${program.version}
_${name}_commands() {
  local -a commands=(
${describe.join('\n')}
  )
  _describe command commands
}
_${name}() {
  local context state state_descr line
  typeset -A opt_args
  _arguments -C \\
${program.options.map((o) => `    ${optionSpec(o, name)} \\`).join('\n')}
    '1:command:_${name}_commands' '*::argument:->rest' && return
  [[ $state == rest ]] || return
  case $line[1] in
    help) _${name}_commands ;;
${program.commands.map((c) => commandCase(c, name)).join('\n')}
  esac
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _${name} "$@"; else compdef _${name} ${name}; fi
`;
}

function commandCase(command: CommandFacts, program: string): string {
  const specs = command.options.map((option) => optionSpec(option, program));
  command.arguments.forEach(({ name, required, variadic, kind, choices }, n) => {
    const place = variadic ? '*' : `${n + 1}${required ? '' : ':'}`;
    specs.push(quote(`${place}:${escape(name)}:${action(kind, choices, false, program)}`));
  });
  return `    ${command.name}) _arguments ${['', ...specs].join(' \\\n      ')} ;;`;
}

/** `'(-o --output)'{-o,--output}'[text]:name:action'`; see zshcompsys(1), _arguments. */
function optionSpec(option: OptionFacts, program: string): string {
  const { short, long, value, optional, repeatable } = option;
  const what =
    value === undefined
      ? ''
      : `${optional ? '::' : ':'}${escape(value)}:${action(option.kind, option.choices, option.list, program)}`;
  const text = `[${escape(option.description)}]${what}`;
  const suffix = optional ? '=-' : value === undefined ? '' : '=';
  const star = repeatable ? '*' : '';
  if (short === undefined || short === long) return quote(`${star}${long}${suffix}${text}`);
  const group = repeatable ? `'*'` : `'(${short} ${long})'`;
  return `${group}{${short}${value === undefined ? '' : '+'},${long}${suffix}}${quote(text)}`;
}

function action(kind: ValueKind, choices: readonly string[], list: boolean, program: string): string {
  if (choices.length > 0) {
    return list ? `_values -s , name ${choices.join(' ')}` : `(${choices.join(' ')})`;
  }
  if (kind === 'path') return '_files';
  return kind === 'command' ? `_${program}_commands` : ' ';
}

function escape(text: string): string {
  return text.replace(/[[\]:\\]/g, '\\$&').replace(/\s+/g, ' ');
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
