// Light colouring of code: comments, strings, numbers, keywords, calls. One scanner for all
// languages, told by a few words what a language has; what it does not know stays plain.

export type Shade = 'plain' | 'comment' | 'string' | 'number' | 'keyword' | 'call' | 'tag';
export interface Piece {
  shade: Shade;
  text: string;
}

interface Grammar {
  comment: RegExp;
  string: RegExp;
  keyword: RegExp;
}

const words = (list: string) => new RegExp(`^(?:${list.trim().split(/\s+/).join('|')})$`);
const NEVER = /(?!)/y;
const C_COMMENT = /\/\/[^\n]*|\/\*[\s\S]*?(?:\*\/|$)/y;
const HASH_COMMENT = /#[^\n]*/y;
const QUOTED = /"(?:[^"\\\n]|\\[\s\S])*(?:"|$|(?=\n))|'(?:[^'\\\n]|\\[\s\S])*(?:'|$|(?=\n))/y;
const TICKED = new RegExp(`${QUOTED.source}|\`(?:[^\`\\\\]|\\\\[\\s\\S])*(?:\`|$)`, 'y');
const TRIPLE = new RegExp(
  `[rbfuRBFU]{0,2}(?:"""[\\s\\S]*?(?:"""|$)|'''[\\s\\S]*?(?:'''|$)|${QUOTED.source})`,
  'y',
);
const SQL_STRING = /'(?:[^']|'')*(?:'|$)/y;

const C_WORDS = words(`
  auto bool break case catch char class const constexpr continue default delete do double else enum
  explicit extern false final float for friend goto if inline int int8_t int16_t int32_t int64_t long
  mutable namespace new noexcept nullptr operator override private protected public return short signed
  size_t sizeof static std string struct switch template this throw true try typedef typename uint8_t
  uint16_t uint32_t uint64_t union unsigned using virtual void volatile while co_await co_return
  abstract extends final implements import instanceof interface package super synchronized throws
  var val fun func let mut fn impl trait pub use mod match loop where crate self Self dyn move ref
  go chan defer map range select type fallthrough nil string byte rune i32 i64 u8 u32 u64 f32 f64 usize`);
const JS_WORDS = words(`
  any as async await boolean break case catch class const continue debugger default delete do else enum
  export extends false finally for from function get if implements import in instanceof interface keyof
  let never new null number object of private protected public readonly return satisfies set static
  string super switch this throw true try type typeof undefined unknown var void while yield`);
const PYTHON_WORDS = words(`
  and as assert async await break case class continue def del elif else except False finally for from
  global if import in is lambda match None nonlocal not or pass raise return self True try while with yield`);
const SHELL_WORDS = words(`
  case do done elif else esac exit export fi for function if in local read return set shift source
  then trap until unset while cd echo sudo`);
const SQL_WORDS = words(`
  add all alter and as asc between by case create delete desc distinct drop else end exists from full
  group having in index inner insert into is join key left like limit not null offset on or order outer
  primary references right select set table then union unique update values view when where with`);
const DATA_WORDS = words('true false null yes no on off');

const C_LIKE: Grammar = { comment: C_COMMENT, string: TICKED, keyword: C_WORDS };
const SCRIPT: Grammar = { comment: C_COMMENT, string: TICKED, keyword: JS_WORDS };
const PYTHON: Grammar = { comment: HASH_COMMENT, string: TRIPLE, keyword: PYTHON_WORDS };
const SHELL: Grammar = { comment: /(?<![\w$])#[^\n]*/y, string: QUOTED, keyword: SHELL_WORDS };
const SQL: Grammar = { comment: /--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)/y, string: SQL_STRING, keyword: SQL_WORDS };
const DATA: Grammar = { comment: HASH_COMMENT, string: QUOTED, keyword: DATA_WORDS };
const JSON_DATA: Grammar = { comment: C_COMMENT, string: QUOTED, keyword: DATA_WORDS };
const CSS: Grammar = { comment: C_COMMENT, string: QUOTED, keyword: NEVER };
const MARKUP: Grammar = { comment: /<!--[\s\S]*?(?:-->|$)/y, string: QUOTED, keyword: NEVER };

const GRAMMARS: Record<string, Grammar> = {};
for (const [names, grammar] of [
  ['c h cpp c++ cc hpp java kotlin kt rust rs go swift cs csharp scala dart zig proto', C_LIKE],
  ['js jsx ts tsx javascript typescript mjs', SCRIPT],
  ['py python python3', PYTHON],
  ['sh bash shell zsh console makefile dockerfile cmake', SHELL],
  ['sql sqlite postgresql mysql', SQL],
  ['yaml yml toml ini conf', DATA],
  ['json json5 jsonc jsonl', JSON_DATA],
  ['css scss less', CSS],
  ['html xml svg vue', MARKUP],
] as [string, Grammar][]) {
  for (const name of names.split(' ')) GRAMMARS[name] = grammar;
}

const NUMBER = /0[xX][\da-fA-F_]+|\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d+)?[a-zA-Z%]*/y;
const WORD = /[\p{L}_$][\p{L}\p{N}_$-]*/uy;
const PLAIN_WORD = /[\p{L}_$][\p{L}\p{N}_$]*/uy;
const TAG = /<\/?[a-zA-Z][\w:-]*|\/?>/y;
const MAX_LENGTH = 60_000; // longer code stays plain

export function highlight(code: string, language: string): Piece[] {
  const grammar = GRAMMARS[language.toLowerCase()];
  if (!grammar || code.length > MAX_LENGTH) return [{ shade: 'plain', text: code }];
  const pieces: Piece[] = [];
  const add = (shade: Shade, text: string) => {
    const last = pieces.at(-1);
    if (last?.shade === shade) last.text += text;
    else pieces.push({ shade, text });
  };
  const dashed = grammar === CSS || grammar === MARKUP || grammar === DATA;
  const take = (pattern: RegExp, at: number): string | null => {
    pattern.lastIndex = at;
    return pattern.exec(code)?.[0] || null;
  };
  for (let at = 0; at < code.length; ) {
    let shade: Shade = 'comment';
    let text = take(grammar.comment, at);
    if (!text && (text = take(grammar.string, at))) shade = 'string';
    if (!text && grammar === MARKUP && (text = take(TAG, at))) shade = 'tag';
    if (!text && (text = take(dashed ? WORD : PLAIN_WORD, at))) {
      const plain = code[at + text.length] === '(' ? 'call' : 'plain';
      const word = grammar === SQL ? text.toLowerCase() : text;
      shade = grammar.keyword.test(word) ? 'keyword' : plain;
    }
    if (!text && (text = take(NUMBER, at))) shade = 'number';
    if (!text) {
      text = code[at]!;
      shade = 'plain';
    }
    if (shade === 'string' && grammar === JSON_DATA && /^\s*:/.test(code.slice(at + text.length, at + text.length + 40)))
      shade = 'tag';
    add(shade, text);
    at += text.length;
  }
  return pieces;
}
