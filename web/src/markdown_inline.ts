// The inside of a paragraph: emphasis, code, links, formulas. CommonMark's delimiter stack, whose
// time grows with the length of the text and not with how it nests.

export type Inline =
  | { kind: 'text'; text: string }
  | { kind: 'code'; text: string }
  | { kind: 'math'; tex: string }
  | { kind: 'break' }
  | { kind: 'strong' | 'emphasis' | 'strike'; inline: Inline[] }
  | { kind: 'link'; href: string; inline: Inline[] };

// A run of *, _ or ~ that may open or close emphasis.
interface Run {
  kind: 'run';
  mark: string;
  count: number;
  whole: number; // before any was used up
  opens: boolean;
  closes: boolean;
}
interface Bracket {
  kind: 'bracket';
  image: boolean;
  active: boolean;
}
type Item = Inline | Run | Bracket;

const PUNCTUATION = /[!-/:-@[-`{-~\p{P}\p{S}]/u;
const MAX_LINK_DEPTH = 64; // open brackets remembered

const ENTITIES: Record<string, string> = {
  amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: '\u00a0', mdash: '—', ndash: '–',
  hellip: '…', times: '×', copy: '©', rarr: '→', larr: '←', deg: '°',
};

// Only these may be followed by a click: nothing that runs script, no local files.
export function safe_href(url: string): string | null {
  const cleaned = url.replace(/[\u0000-\u0020\u007f-\u009f]/g, '');
  if (/^(?:https?:\/\/|mailto:)/i.test(cleaned)) return cleaned;
  return null;
}

export function parse_inline(text: string): Inline[] {
  return new InlineReader(text).read();
}

class InlineReader {
  private at = 0;
  private items: Item[] = [];
  private brackets: number[] = []; // indices into items
  private plain = '';
  private missing_ticks = new Set<number>(); // lengths of backtick runs that nothing closes
  private missing_ends = new Set<string>(); // ends of formulas that do not come any more

  constructor(private readonly text: string) {}

  read(): Inline[] {
    while (this.at < this.text.length) this.step();
    this.flush();
    return finish(this.items, 0);
  }

  private flush(): void {
    if (this.plain !== '') this.items.push({ kind: 'text', text: this.plain });
    this.plain = '';
  }

  private push(item: Item): void {
    this.flush();
    this.items.push(item);
  }

  private step(): void {
    const c = this.text[this.at]!;
    switch (c) {
      case '\\':
        return this.escape();
      case '`':
        return this.code();
      case '*':
      case '_':
      case '~':
        return this.run(c);
      case '[':
        return this.open_bracket(false);
      case ']':
        return this.close_bracket();
      case '!':
        if (this.text[this.at + 1] === '[') return this.open_bracket(true);
        break;
      case '$':
        if (this.dollar_math()) return;
        break;
      case '<':
        if (this.angle()) return;
        break;
      case '&':
        if (this.entity()) return;
        break;
      case '\n':
        return this.newline();
      case 'h':
        if (this.bare_link()) return;
        break;
    }
    this.plain += c;
    ++this.at;
  }

  private escape(): void {
    const next = this.text[this.at + 1];
    if (next === '(' || next === '[') {
      const end = this.find_end(next === '(' ? '\\)' : '\\]', this.at + 2);
      if (end > this.at + 2) {
        this.push({ kind: 'math', tex: this.text.slice(this.at + 2, end).trim() });
        this.at = end + 2;
        return;
      }
    }
    if (next === '\n') {
      this.push({ kind: 'break' });
      this.at += 2;
    } else if (next !== undefined && /[!-/:-@[-`{-~]/.test(next)) {
      this.plain += next;
      this.at += 2;
    } else {
      this.plain += '\\';
      ++this.at;
    }
  }

  // Looks to the end of the text once for each kind of end, not once for each beginning.
  private find_end(mark: string, from: number): number {
    if (this.missing_ends.has(mark)) return -1;
    const end = this.text.indexOf(mark, from);
    if (end < 0) this.missing_ends.add(mark);
    return end;
  }

  private code(): void {
    const length = run_length(this.text, this.at, '`');
    const from = this.at + length;
    if (!this.missing_ticks.has(length)) {
      for (let end = this.text.indexOf('`', from); end >= 0; ) {
        const closing = run_length(this.text, end, '`');
        if (closing === length) {
          let body = this.text.slice(from, end).replace(/\n/g, ' ');
          if (/^ .*[^ ].* $|^ .*` $/.test(body)) body = body.slice(1, -1);
          this.push({ kind: 'code', text: body });
          this.at = end + length;
          return;
        }
        end = this.text.indexOf('`', end + closing);
      }
      this.missing_ticks.add(length);
    }
    this.plain += '`'.repeat(length);
    this.at = from;
  }

  private run(mark: string): void {
    const count = run_length(this.text, this.at, mark);
    const before = this.at === 0 ? ' ' : previous_char(this.text, this.at);
    const after = this.text.codePointAt(this.at + count);
    const next = after === undefined ? ' ' : String.fromCodePoint(after);
    const space_before = /\s/.test(before);
    const space_after = /\s/.test(next);
    const left = !space_after && (!PUNCTUATION.test(next) || space_before || PUNCTUATION.test(before));
    const right = !space_before && (!PUNCTUATION.test(before) || space_after || PUNCTUATION.test(next));
    const under = mark === '_';
    this.push({
      kind: 'run',
      mark,
      count,
      whole: count,
      opens: left && (!under || !right || PUNCTUATION.test(before)),
      closes: right && (!under || !left || PUNCTUATION.test(next)),
    });
    this.at += count;
  }

  // $x$ is a formula if it hugs its text and no digit follows: "$5 and $6" are prices.
  private dollar_math(): boolean {
    const display = this.text.startsWith('$$', this.at);
    const mark = display ? '$$' : '$';
    const from = this.at + mark.length;
    if (!display && /\s/.test(this.text[from] ?? ' ')) return false;
    let end = this.find_end(mark, from);
    while (!display && end > 0 && this.text[end - 1] === '\\') end = this.text.indexOf(mark, end + 1);
    if (end <= from) return false;
    const tex = this.text.slice(from, end);
    if (tex.includes('\n\n') || tex.length > 2000) return false;
    if (!display && (/\s$/.test(tex) || /[0-9]/.test(this.text[end + 1] ?? ' '))) return false;
    this.push({ kind: 'math', tex: tex.trim() });
    this.at = end + mark.length;
    return true;
  }

  private angle(): boolean {
    const window = this.text.slice(this.at, this.at + 2048);
    const line_break = /^<br\s*\/?>/i.exec(window);
    if (line_break) {
      this.push({ kind: 'break' });
      this.at += line_break[0].length;
      return true;
    }
    const link = /^<([a-z][a-z0-9+.-]{1,31}:[^\s<>]*)>/i.exec(window);
    const href = link && safe_href(link[1]!);
    if (!link || !href) return false;
    this.push({ kind: 'link', href, inline: [{ kind: 'text', text: link[1]! }] });
    this.at += link[0].length;
    return true;
  }

  private entity(): boolean {
    const found = /^&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z]{2,8}));/i.exec(
      this.text.slice(this.at, this.at + 12),
    );
    if (!found) return false;
    let text = found[3] ? ENTITIES[found[3]] : undefined;
    const number = found[1] ? Number.parseInt(found[1], 10) : Number.parseInt(found[2] ?? '', 16);
    if (number > 0 && number <= 0x10ffff) text = String.fromCodePoint(number);
    if (text === undefined) return false;
    this.plain += text;
    this.at += found[0].length;
    return true;
  }

  private newline(): void {
    const hard = this.plain.endsWith('  ');
    this.plain = this.plain.replace(/ +$/, '');
    if (hard) this.push({ kind: 'break' });
    else this.plain += '\n';
    ++this.at;
  }

  private bare_link(): boolean {
    if (this.at > 0 && /[\p{L}\p{N}_/]/u.test(this.text[this.at - 1]!)) return false;
    if (this.brackets.some((index) => (this.items[index] as Bracket).active)) return false;
    const found = /^https?:\/\/[^\s<>"'`|\\^{}[\]]+/.exec(this.text.slice(this.at, this.at + 2048));
    if (!found) return false;
    let url = found[0].replace(/[.,;:!?*_~]+$/, '');
    while (url.endsWith(')') && count_of(url, ')') > count_of(url, '(')) url = url.slice(0, -1);
    const href = safe_href(url);
    if (!href || url.length < 10) return false;
    this.push({ kind: 'link', href, inline: [{ kind: 'text', text: url }] });
    this.at += url.length;
    return true;
  }

  private open_bracket(image: boolean): void {
    this.push({ kind: 'bracket', image, active: true });
    this.brackets.push(this.items.length - 1);
    if (this.brackets.length > MAX_LINK_DEPTH) this.brackets.shift();
    this.at += image ? 2 : 1;
  }

  private close_bracket(): void {
    const index = this.brackets.pop();
    const open = index === undefined ? null : (this.items[index] as Bracket);
    const target = open?.active ? this.link_target() : null;
    if (index === undefined || !open || !target) {
      this.plain += ']';
      ++this.at;
      return;
    }
    this.flush();
    const inline = finish(this.items.splice(index), 1);
    const href = safe_href(target.url);
    // A picture would be a request to another host: it becomes a link to it.
    if (href) this.items.push({ kind: 'link', href, inline: unlinked(inline, target.url) });
    else for (const item of inline) this.items.push(item);
    this.at = target.end;
    if (!open.image) {
      for (const other of this.brackets) {
        const bracket = this.items[other] as Bracket;
        if (!bracket.image) bracket.active = false;
      }
    }
  }

  // (url "title") behind a ']'.
  private link_target(): { url: string; end: number } | null {
    if (this.text[this.at + 1] !== '(') return null;
    const window = this.text.slice(this.at + 1, this.at + 4096);
    const found =
      /^\(\s*(?:<([^<>\n]*)>|((?:[^\s()\\]|\\.|\((?:[^\s()\\]|\\.)*\))*))(?:\s+(?:"[^"\n]*"|'[^'\n]*'))?\s*\)/.exec(
        window,
      );
    if (!found) return null;
    const url = (found[1] ?? found[2] ?? '').replace(/\\([!-/:-@[-`{-~])/g, '$1');
    return { url, end: this.at + 1 + found[0].length };
  }
}

function unlinked(inline: Inline[], url: string): Inline[] {
  return inline.length === 0 ? [{ kind: 'text', text: url }] : inline;
}

function run_length(text: string, at: number, mark: string): number {
  let end = at;
  while (text[end] === mark) ++end;
  return end - at;
}

function previous_char(text: string, at: number): string {
  const low = text.charCodeAt(at - 1);
  return low >= 0xdc00 && low <= 0xdfff ? text.slice(at - 2, at) : text[at - 1]!;
}

function count_of(text: string, c: string): number {
  return text.split(c).length - 1;
}

// Pairs the runs of items[from…], and turns what is left over back into text.
function finish(items: Item[], from: number): Inline[] {
  interface Open {
    run: Run;
    into: Inline[]; // where the text before this run went
  }
  const stack: Open[] = [];
  let current: Inline[] = [];
  const put_text = (text: string) => {
    const last = current.at(-1);
    if (last?.kind === 'text') last.text += text;
    else if (text !== '') current.push({ kind: 'text', text });
  };
  // The innermost open run did not find its end: it is text.
  const give_up = () => {
    const { run, into } = stack.pop()!;
    const inner = current;
    current = into;
    put_text(run.mark.repeat(run.count));
    append(current, inner);
  };
  // How many open runs there are of each kind, so that a hopeless search is not begun.
  const open_count = (mark: string) => stack.reduce((n, open) => n + Number(open.run.mark === mark), 0);

  for (const item of items.slice(from)) {
    if (item.kind === 'bracket') {
      put_text(item.image ? '![' : '[');
    } else if (item.kind === 'text') {
      put_text(item.text);
    } else if (item.kind !== 'run') {
      current.push(item);
    } else {
      const run = item;
      while (run.closes && run.count > 0) {
        const found = matching(stack, run);
        if (found < 0) break;
        while (stack.length - 1 > found) give_up();
        const open = stack.at(-1)!;
        const used = used_marks(open.run, run);
        const inner = current;
        const kind = run.mark === '~' ? 'strike' : used === 2 ? 'strong' : 'emphasis';
        const node: Inline = { kind, inline: inner };
        open.run.count -= used;
        run.count -= used;
        if (open.run.count === 0) {
          stack.pop();
          current = open.into;
          current.push(node);
        } else {
          current = [node];
        }
      }
      if (run.count > 0 && run.opens && open_count(run.mark) < 100) {
        stack.push({ run, into: current });
        current = [];
      } else if (run.count > 0) {
        put_text(run.mark.repeat(run.count));
      }
    }
  }
  while (stack.length > 0) give_up();
  return current;

  function append(target: Inline[], more: Inline[]): void {
    const last = target.at(-1);
    const first = more[0];
    const join = last?.kind === 'text' && first?.kind === 'text';
    if (join) last.text += first.text;
    for (let i = join ? 1 : 0; i < more.length; ++i) target.push(more[i]!);
  }
}

function used_marks(open: Run, close: Run): number {
  return open.count >= 2 && close.count >= 2 ? 2 : 1;
}

// The innermost open run that `close` may close, by CommonMark's rule of three; −1: none.
function matching(stack: { run: Run }[], close: Run): number {
  for (let i = stack.length - 1; i >= 0; --i) {
    const open = stack[i]!.run;
    if (open.mark !== close.mark) continue;
    if (close.mark === '~') {
      if (open.count >= 2 && close.count >= 2) return i;
      continue;
    }
    const both = open.closes || close.opens;
    if (both && (open.whole + close.whole) % 3 === 0 && !(open.whole % 3 === 0 && close.whole % 3 === 0)) continue;
    return i;
  }
  return -1;
}
