import assert from 'node:assert/strict';
import { test } from 'node:test';

import { highlight } from '../src/highlight';

const languages = ['c', 'ts', 'py', 'sh', 'sql', 'yaml', 'json', 'css', 'html', 'nothing'];

test('the pieces are the code, whatever it is', () => {
  const samples = ['', 'a = "b', "'''", '/* open', '`${x', '\\', '😀 "é" 0x1F', '<a href="x', '#', 'f(1.5e3)\n\n'];
  for (const language of languages) {
    for (const code of samples) {
      assert.equal(highlight(code, language).map((piece) => piece.text).join(''), code);
    }
  }
});

test('shades', () => {
  const shade = (code: string, language: string, text: string) =>
    highlight(code, language).find((piece) => piece.text === text)?.shade;
  assert.equal(shade('def f(x): # y', 'py', 'def'), 'keyword');
  assert.equal(shade('def f(x): # y', 'py', '# y'), 'comment');
  assert.equal(shade('def f(x): # y', 'py', 'f'), 'call');
  assert.equal(shade('const a = `b`;', 'js', '`b`'), 'string');
  assert.equal(shade('{"a": 1}', 'json', '"a"'), 'tag');
  assert.equal(shade('{"a": 1}', 'json', '1'), 'number');
  assert.equal(shade('SELECT a FROM b', 'sql', 'SELECT'), 'keyword');
});

test('long code takes no longer than its length', () => {
  for (const code of ['"'.repeat(59_000), '/*'.repeat(29_000), "'''".repeat(19_000), '`'.repeat(59_000), '<'.repeat(59_000)]) {
    const began = performance.now();
    for (const language of languages) highlight(code, language);
    assert.ok(performance.now() - began < 4000);
  }
});
