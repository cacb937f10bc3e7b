// Markdown to a tree of plain data. Nothing here makes HTML: tags in an answer are ordinary text,
// and the view (markdown_view.tsx) turns the tree into elements, so an answer cannot inject any.
//
// The dialect is what models write: CommonMark without raw HTML (and an item that is indented too
// far is an item, not code), plus tables,
// task lists, ~~strike~~ and formulas ($…$, $$…$$, \(…\), \[…\]).

import { parse_inline, type Inline } from './markdown_inline';

export type Align = 'left' | 'center' | 'right' | null;

export interface ListItem {
  checked: boolean | null; // of a task list
  blocks: Block[];
}

export type Block =
  | { kind: 'paragraph'; inline: Inline[] }
  | { kind: 'heading'; level: number; inline: Inline[] }
  | { kind: 'code'; language: string; text: string; closed: boolean }
  | { kind: 'math'; tex: string }
  | { kind: 'quote'; blocks: Block[] }
  | { kind: 'list'; ordered: boolean; start: number; tight: boolean; items: ListItem[] }
  | { kind: 'table'; align: Align[]; head: Inline[][]; rows: Inline[][][] }
  | { kind: 'rule' };

// A block at the top and the lines it came from: while an answer streams, only the last one changes.
export interface TopBlock {
  source: string;
  block: Block;
}

const MAX_MATH_LINES = 200;
const MAX_DEPTH = 12; // of quotes and lists in each other; deeper ones are text

const FENCE = /^( {0,3})(`{3,}|~{3,})[ \t]*([^`\n]*)$/;
const HEADING = /^ {0,3}(#{1,6})([ \t].*|)$/;
const RULE = /^ {0,3}(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)])( +|$)(.*)$/;
const TASK = /^\[([ xX])\] +/;
const MATH_OPEN = /^ {0,3}(\$\$|\\\[)(.*)$/;
const INDENTED = /^(?: {4}| {0,3}\t)/;
const TABLE_RULE = /^ {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;

export function parse_markdown(text: string): TopBlock[] {
  const lines = text.replace(/\r\n?/g, '\n').split('\n');
  const blocks: TopBlock[] = [];
  let at = 0;
  while (at < lines.length) {
    const [block, next] = read_block(lines, at, 0);
    if (block) blocks.push({ block, source: lines.slice(at, next).join('\n') });
    at = next;
  }
  return blocks;
}

function parse_lines(lines: string[], depth: number): Block[] {
  const blocks: Block[] = [];
  let at = 0;
  while (at < lines.length) {
    const [block, next] = read_block(lines, at, depth);
    if (block) blocks.push(block);
    at = next;
  }
  return blocks;
}

// The block that begins at line `at`, and the line behind it.
function read_block(lines: string[], at: number, depth: number): [Block | null, number] {
  const line = lines[at]!;
  if (line.trim() === '') return [null, at + 1];
  const fence = FENCE.exec(line);
  if (fence) return read_code(lines, at, fence);
  const heading = HEADING.exec(line);
  if (heading) {
    const title = heading[2]!.trim();
    const hashes = title.length - title.replace(/#+$/, '').length; // "# title #" closes itself
    const closed = hashes > 0 && /[ \t]/.test(title[title.length - hashes - 1] ?? ' ');
    const inline = parse_inline(closed ? title.slice(0, -hashes).trim() : title);
    return [{ kind: 'heading', level: heading[1]!.length, inline }, at + 1];
  }
  if (RULE.test(line)) return [{ kind: 'rule' }, at + 1];
  const math = MATH_OPEN.exec(line);
  if (math) {
    const found = read_math(lines, at, math);
    if (found) return found;
  }
  if (depth < MAX_DEPTH) {
    if (QUOTE.test(line)) return read_quote(lines, at, depth);
    if (ITEM.test(line)) return read_list(lines, at, depth);
  }
  if (INDENTED.test(line)) return read_indented(lines, at);
  if (is_table(lines, at)) return read_table(lines, at);
  return read_paragraph(lines, at, depth);
}

// Code by its indent alone, to the last line that has it: empty ones between are part of it.
function read_indented(lines: string[], at: number): [Block, number] {
  let next = at + 1;
  for (let i = next; i < lines.length && (INDENTED.test(lines[i]!) || lines[i]!.trim() === ''); ++i) {
    if (lines[i]!.trim() !== '') next = i + 1;
  }
  const text = lines.slice(at, next).map((line) => line.replace(INDENTED, '')).join('\n');
  return [{ kind: 'code', language: '', text, closed: true }, next];
}

function read_code(lines: string[], at: number, fence: RegExpExecArray): [Block, number] {
  const indent = fence[1]!.length;
  const mark = fence[2]!;
  const close = new RegExp(`^ {0,3}${mark[0] === '`' ? '`' : '~'}{${mark.length},}[ \\t]*$`);
  const strip = new RegExp(`^ {0,${indent}}`);
  const body: string[] = [];
  let next = at + 1;
  while (next < lines.length && !close.test(lines[next]!)) {
    body.push(lines[next]!.replace(strip, ''));
    ++next;
  }
  const closed = next < lines.length;
  const language = fence[3]!.trim().split(/\s/)[0] ?? '';
  return [{ kind: 'code', language, text: body.join('\n'), closed }, closed ? next + 1 : next];
}

// $$ … $$ and \[ … \] over one or more lines; null if it does not end, or not at a line's end.
function read_math(lines: string[], at: number, open: RegExpExecArray): [Block, number] | null {
  const close = open[1] === '$$' ? '$$' : '\\]';
  const body: string[] = [];
  for (let next = at; next < Math.min(lines.length, at + MAX_MATH_LINES); ++next) {
    const line = next === at ? open[2]! : lines[next]!;
    const end = line.indexOf(close);
    if (end >= 0) {
      if (line.slice(end + close.length).trim() !== '') return null;
      body.push(line.slice(0, end));
      const tex = body.join('\n').trim();
      return tex === '' ? null : [{ kind: 'math', tex }, next + 1];
    }
    if (next > at && line.trim() === '') return null;
    body.push(line);
  }
  return null;
}

function read_quote(lines: string[], at: number, depth: number): [Block, number] {
  const inner: string[] = [];
  let next = at;
  for (; next < lines.length; ++next) {
    const line = lines[next]!;
    if (QUOTE.test(line)) inner.push(line.replace(QUOTE, ''));
    else if (line.trim() !== '' && inner.at(-1)?.trim() !== '' && !begins_block(line)) inner.push(line);
    else break;
  }
  return [{ kind: 'quote', blocks: parse_lines(inner, depth + 1) }, next];
}

function read_list(lines: string[], at: number, depth: number): [Block, number] {
  const first = ITEM.exec(lines[at]!)!;
  const ordered = /\d/.test(first[2]!);
  const kind_of = (marker: string) => marker.at(-1);
  const margin = first[1]!.length;
  const items: ListItem[] = [];
  let tight = true;
  let next = at;
  while (next < lines.length) {
    const found = ITEM.exec(lines[next]!);
    if (!found || kind_of(found[2]!) !== kind_of(first[2]!) || RULE.test(lines[next]!)) break;
    if (found[1]!.length < margin || found[1]!.length > margin + 3) break;
    const gap = found[3]!.length > 4 || found[3] === '' ? 1 : found[3]!.length;
    const indent = found[1]!.length + found[2]!.length + gap;
    const [inner, end] = item_lines(lines, next, indent, found);
    const task = TASK.exec(inner[0] ?? '');
    if (task) inner[0] = inner[0]!.slice(task[0].length);
    const trailing = inner.at(-1)?.trim() === '';
    while (inner.length > 0 && inner.at(-1)!.trim() === '') inner.pop();
    const more = end < lines.length && ITEM.test(lines[end]!);
    const blocks = parse_lines(inner, depth + 1);
    if ((trailing && more) || (inner.includes('') && !holds_list_or_code(blocks))) tight = false;
    items.push({ checked: task ? task[1] !== ' ' : null, blocks });
    next = end;
  }
  const start = ordered ? Number.parseInt(first[2]!, 10) : 1;
  return [{ kind: 'list', ordered, start, tight, items }, next];
}

function holds_list_or_code(blocks: Block[]): boolean {
  return blocks.some((block) => block.kind === 'list' || block.kind === 'code');
}

// The lines of one item without their indent, and the line behind them.
function item_lines(
  lines: string[],
  at: number,
  indent: number,
  found: RegExpExecArray,
): [string[], number] {
  const inner = [found[4]!];
  let fence: string | null = FENCE.exec(found[4]!)?.[2] ?? null;
  let next = at + 1;
  for (; next < lines.length; ++next) {
    const line = lines[next]!;
    const depth = line.length - line.trimStart().length;
    if (line.trim() === '') {
      inner.push('');
    } else if (depth >= indent || (depth >= 2 && depth > found[1]!.length && ITEM.test(line))) {
      // Models often indent less than the rule asks for; a nested item is one all the same.
      const text = line.slice(Math.min(indent, depth));
      const mark = FENCE.exec(text)?.[2];
      if (mark) fence = fence === null ? mark : fence[0] === mark[0] ? null : fence;
      inner.push(text);
    } else if (fence === null && inner.at(-1) !== '' && !begins_block(line)) {
      inner.push(line.trimStart()); // a paragraph goes on
    } else {
      break;
    }
  }
  return [inner, next];
}

function begins_block(line: string): boolean {
  return FENCE.test(line) || HEADING.test(line) || RULE.test(line) || QUOTE.test(line) || ITEM.test(line);
}

function is_table(lines: string[], at: number): boolean {
  const rule = lines[at + 1];
  if (rule === undefined || !lines[at]!.includes('|') || !rule.includes('-')) return false;
  return TABLE_RULE.test(rule) && split_row(lines[at]!).length === split_row(rule).length;
}

function split_row(line: string): string[] {
  const cells: string[] = [];
  let cell = '';
  let code = false;
  const text = line.trim().replace(/^\|/, '');
  for (let i = 0; i < text.length; ++i) {
    const c = text[i]!;
    if (c === '\\' && text[i + 1] === '|') {
      cell += '|';
      ++i;
    } else if (c === '|' && !code) {
      cells.push(cell.trim());
      cell = '';
    } else {
      if (c === '`') code = !code;
      cell += c;
    }
  }
  if (cell.trim() !== '') cells.push(cell.trim());
  return cells;
}

function read_table(lines: string[], at: number): [Block, number] {
  const head = split_row(lines[at]!);
  const align = split_row(lines[at + 1]!).map((cell): Align => {
    const left = cell.startsWith(':');
    const right = cell.endsWith(':');
    return left && right ? 'center' : right ? 'right' : left ? 'left' : null;
  });
  const rows: Inline[][][] = [];
  let next = at + 2;
  for (; next < lines.length; ++next) {
    const line = lines[next]!;
    if (line.trim() === '' || !line.includes('|')) break;
    const cells = split_row(line).slice(0, head.length);
    while (cells.length < head.length) cells.push('');
    rows.push(cells.map(parse_inline));
  }
  return [{ kind: 'table', align, head: head.map(parse_inline), rows }, next];
}

function read_paragraph(lines: string[], at: number, depth: number): [Block, number] {
  const body = [lines[at]!.trimStart()];
  let next = at + 1;
  for (; next < lines.length; ++next) {
    const line = lines[next]!;
    if (line.trim() === '' || FENCE.test(line) || HEADING.test(line) || RULE.test(line)) break;
    if (depth < MAX_DEPTH && QUOTE.test(line)) break;
    const item = ITEM.exec(line);
    // "1986. It was…" in the middle of a paragraph is no list; "1." and "-" are.
    if (depth < MAX_DEPTH && item && item[4] !== '' && /^(?:[-*+]|1[.)])$/.test(item[2]!)) break;
    if (MATH_OPEN.test(line) && read_math(lines, next, MATH_OPEN.exec(line)!)) break;
    if (is_table(lines, next)) break;
    body.push(line.trimStart());
  }
  return [{ kind: 'paragraph', inline: parse_inline(body.join('\n').trimEnd()) }, next];
}
