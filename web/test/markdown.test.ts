// The Markdown reader: what models write, and what nobody should.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { parse_markdown, type Block } from '../src/markdown';
import { parse_inline, safe_href, type Inline } from '../src/markdown_inline';

const blocks = (text: string): Block[] => parse_markdown(text).map((top) => top.block);
const first = (text: string): Block => blocks(text)[0]!;

// The tree in a short form: strong(…), a[href](…), text as it is.
function show(inline: Inline[]): string {
  return inline
    .map((item) => {
      switch (item.kind) {
        case 'text':
          return item.text;
        case 'code':
          return `code(${item.text})`;
        case 'math':
          return `math(${item.tex})`;
        case 'break':
          return '⏎';
        case 'link':
          return `a[${item.href}](${show(item.inline)})`;
        default:
          return `${item.kind}(${show(item.inline)})`;
      }
    })
    .join('');
}
const inline = (text: string) => show(parse_inline(text));

test('emphasis', () => {
  assert.equal(inline('*a* and **b** and ***c***'), 'emphasis(a) and strong(b) and emphasis(strong(c))');
  assert.equal(inline('**bold with *both* in it**'), 'strong(bold with emphasis(both) in it)');
  assert.equal(inline('_a_ but snake_case_name'), 'emphasis(a) but snake_case_name');
  assert.equal(inline('2 * 3 * 4'), '2 * 3 * 4');
  assert.equal(inline('~~gone~~ ~5'), 'strike(gone) ~5');
  assert.equal(inline('**open'), '**open');
  assert.equal(inline('*a **b*'), '*a *emphasis(b)');
  assert.equal(inline('**Note:** it’s'), 'strong(Note:) it’s');
});

test('code spans keep what is in them', () => {
  assert.equal(inline('`*a*` and ``b`c``'), 'code(*a*) and code(b`c)');
  assert.equal(inline('`open'), '`open');
  assert.equal(inline('`<b>$x$</b>`'), 'code(<b>$x$</b>)');
});

test('links', () => {
  assert.equal(inline('[a](https://b.org "t")'), 'a[https://b.org](a)');
  assert.equal(inline('[**a**](https://b.org/(x))'), 'a[https://b.org/(x)](strong(a))');
  assert.equal(inline('see https://a.org/b_c_d.'), 'see a[https://a.org/b_c_d](https://a.org/b_c_d).');
  assert.equal(inline('(https://a.org/x)'), '(a[https://a.org/x](https://a.org/x))');
  assert.equal(inline('<https://a.org>'), 'a[https://a.org](https://a.org)');
  assert.equal(inline('a[0](1) and [b'), 'a0 and [b');
  assert.equal(inline('![alt](https://a.org/x.png)'), 'a[https://a.org/x.png](alt)');
});

test('links that run or read something are text', () => {
  for (const url of [
    'javascript:alert(1)', 'JaVaScRiPt:alert(1)', ' javascript:alert(1)', 'java\tscript:alert(1)',
    'java&#115;cript:x', 'data:text/html,<script>1</script>', 'vbscript:x', 'file:///etc/passwd', '//a.org',
    'blob:null/b', '\u0001javascript:1', 'about:blank',
  ]) {
    assert.equal(safe_href(url), null, url);
    assert.ok(!inline(`[x](<${url}>)`).includes('a['), url);
    assert.ok(!inline(`[x](${url})`).includes('a['), url);
    assert.ok(!inline(`![x](${url})`).includes('a['), url);
    assert.ok(!inline(`<${url}>`).includes('a['), url);
  }
});

test('formulas', () => {
  assert.equal(inline('$x^2$ costs $5 and $6'), 'math(x^2) costs $5 and $6');
  assert.equal(inline('\\(a+b\\) and \\[c\\]'), 'math(a+b) and math(c)');
  assert.equal(inline('$$x$$ inside'), 'math(x) inside');
  assert.deepEqual(first('$$\n\\frac{a}{b}\n$$'), { kind: 'math', tex: '\\frac{a}{b}' });
  assert.deepEqual(first('\\[ x \\]'), { kind: 'math', tex: 'x' });
  assert.equal(first('$$ never closed').kind, 'paragraph');
});

test('HTML is text', () => {
  const text = '<script>alert(1)</script><img src=x onerror=alert(1)>';
  assert.deepEqual(blocks(text), [{ kind: 'paragraph', inline: [{ kind: 'text', text }] }]);
  assert.equal(inline('a<br>b &lt;i&gt; &amp;amp;'), 'a⏎b <i> &amp;');
});

test('code blocks, open and closed', () => {
  assert.deepEqual(first('```py\na = 1\n```'), { kind: 'code', language: 'py', text: 'a = 1', closed: true });
  assert.deepEqual(first('```\n<b>\n'), { kind: 'code', language: '', text: '<b>\n', closed: false });
  assert.deepEqual(first('````\n```\n````'), { kind: 'code', language: '', text: '```', closed: true });
  assert.equal(blocks('text\n```c\nx\n```\nmore').length, 3);
});

test('code by its indent', () => {
  const code = (text: string): Block => ({ kind: 'code', language: '', text, closed: true });
  assert.deepEqual(blocks('Run:\n\n    make\n\n      ./a  *b*\n\nDone.').slice(1, 2), [code('make\n\n  ./a  *b*')]);
  assert.deepEqual(blocks('Run:\n\n\tmake\n\nDone.').map((block) => block.kind), ['paragraph', 'code', 'paragraph']);
  assert.deepEqual(blocks('a paragraph\n    goes on').map((block) => block.kind), ['paragraph']);
  const list = first('1. run\n\n       make\n2. done') as Block & { kind: 'list' };
  assert.deepEqual(list.items[0]!.blocks[1], code('make'));
  assert.equal(first('    - too far, and an item').kind, 'list');
});

test('lists', () => {
  const list = first('- a\n- b\n  - c\n  - d\n- e') as Block & { kind: 'list' };
  assert.equal(list.items.length, 3);
  assert.equal(list.tight, true);
  assert.equal((list.items[1]!.blocks[1] as Block & { kind: 'list' }).items.length, 2);
  const numbered = first('3. a\n4. b\n\n   more\n') as Block & { kind: 'list' };
  assert.deepEqual([numbered.ordered, numbered.start, numbered.items.length], [true, 3, 2]);
  assert.equal(numbered.items[1]!.blocks.length, 2);
  const tasks = first('- [x] a\n- [ ] b') as Block & { kind: 'list' };
  assert.deepEqual(tasks.items.map((item) => item.checked), [true, false]);
  const code = first('1. run\n   ```sh\n   ls\n   ```\n2. done') as Block & { kind: 'list' };
  assert.deepEqual(code.items[0]!.blocks[1], { kind: 'code', language: 'sh', text: 'ls', closed: true });
  assert.equal(code.items.length, 2);
  assert.equal(blocks('It was in\n1986. A year').length, 1);
});

test('tables', () => {
  const table = first('| a | b |\n|:--|--:|\n| 1 | `x|y` |\n| 2 |') as Block & { kind: 'table' };
  assert.deepEqual(table.align, ['left', 'right']);
  assert.deepEqual(table.rows.map((row) => row.map(show)), [['1', 'code(x|y)'], ['2', '']]);
  assert.equal(first('a | b\nc | d').kind, 'paragraph');
});

test('headings, quotes, rules', () => {
  const heading = first('## A *b* ##') as Block & { kind: 'heading' };
  assert.deepEqual([heading.level, show(heading.inline)], [2, 'A emphasis(b)']);
  assert.equal(first('#not').kind, 'paragraph');
  assert.equal(show((first('# C#') as Block & { kind: 'heading' }).inline), 'C#');
  const quote = first('> a\n> - b\nlazy') as Block & { kind: 'quote' };
  assert.deepEqual(quote.blocks.map((block) => block.kind), ['paragraph', 'list']);
  assert.deepEqual(blocks('a\n\n---\n\nb').map((block) => block.kind), ['paragraph', 'rule', 'paragraph']);
});

test('any beginning of a text can be read, and ends with the whole', () => {
  const text =
    '# T\n\nA **b** `c` [d](https://e.org) $f$\n\n- g\n  1. h\n\n> i\n\n| j | k |\n|---|---|\n| l | m |\n\n```py\nn\n```\n\n$$\no\n$$\n';
  for (let end = 0; end <= text.length; ++end) assert.doesNotThrow(() => parse_markdown(text.slice(0, end)));
  assert.equal(
    parse_markdown(text).map((top) => top.source).join('\n').replace(/\s/g, ''),
    text.replace(/\s/g, ''),
  );
});

test('hostile input takes no longer than plain input', () => {
  const hostile: Record<string, string> = {
    stars: '*'.repeat(50_000),
    pairs: '*a '.repeat(20_000),
    alternating: '*_'.repeat(20_000),
    brackets: '['.repeat(50_000),
    links: '[a]('.repeat(10_000),
    nested: '[a](b'.repeat(10_000) + ')'.repeat(10_000),
    images: '![['.repeat(15_000),
    ticks: Array.from({ length: 400 }, (_, i) => '`'.repeat(i)).join(' '),
    quotes: '>'.repeat(20_000) + 'a',
    lists: Array.from({ length: 2_000 }, (_, i) => `${' '.repeat(i % 300)}- a`).join('\n'),
    dollars: '$a '.repeat(20_000),
    formulas: '\\('.repeat(30_000),
    displays: '\\[\n'.repeat(10_000),
    heading: `# ${' '.repeat(50_000)}#`,
    table: `${'|'.repeat(20_000)}\n${'|-'.repeat(20_000)}`,
    angles: '<a:'.repeat(20_000),
    entities: '&#'.repeat(30_000),
    spaces: `${' '.repeat(50_000)}a`,
    lines: '\n'.repeat(50_000),
    urls: 'https://'.repeat(10_000),
    closers: `${'*a_'.repeat(5_000)}${'_b*'.repeat(5_000)}`,
    rules: '- '.repeat(20_000) + 'a',
  };
  for (const [name, text] of Object.entries(hostile)) {
    const began = performance.now();
    parse_markdown(text);
    assert.ok(performance.now() - began < 4000, `${name} took ${performance.now() - began} ms`);
  }
});

test('random text is never lost', () => {
  const alphabet = ['*', '_', '~', '`', '[', ']', '(', ')', '!', '<', '>', '\\', '$', '#', '-', '|', '\n', ' ', 'a', '1', '.', '&', ';', 'é', '😀'];
  let seed = 7;
  const random = () => (seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648;
  for (let round = 0; round < 3000; ++round) {
    let text = '';
    for (let i = 0; i < 60; ++i) text += alphabet[Math.floor(random() * alphabet.length)];
    const tree = JSON.stringify(parse_markdown(text).map((top) => top.block));
    // Letters are no markup: each has to be somewhere (in a link's address, too).
    for (const c of ['é', '😀']) {
      const wanted = text.split(c).length;
      assert.ok(tree.split(c).length >= wanted || text.includes('|') || text.includes(']('), JSON.stringify(text));
    }
  }
});
