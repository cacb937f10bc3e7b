// Trees of turns, and files that anyone may have written.
import { webcrypto } from 'node:crypto';
import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
  DEFAULT_SETTINGS,
  add_turn,
  children,
  choose,
  copy_until,
  empty_conversation,
  matches,
  open_calls,
  path,
  read_exported,
  title_from,
  type Conversation,
  type Turn,
} from '../src/conversation';
import { EventReader } from '../src/sse';

// A browser has it; Node 18, which Debian 12 ships, keeps it in a module.
globalThis.crypto ??= webcrypto as Crypto;

function turn(id: string, parent: string | null, role: Turn['role'], more: Partial<Turn> = {}): Turn {
  return { id, parent, role, created: Number.parseInt(id, 36), content: id, ...more };
}

function example(): Conversation {
  let conversation = empty_conversation(DEFAULT_SETTINGS);
  for (const one of [turn('a', null, 'user'), turn('b', 'a', 'assistant'), turn('c', 'b', 'user'), turn('d', 'c', 'assistant'), turn('e', 'a', 'assistant')])
    conversation = add_turn(conversation, one);
  return conversation;
}
const ids = (conversation: Conversation) => path(conversation).map((one) => one.id).join('');

test('a retry is a sibling, and the way back to the old branch leads to its end', () => {
  const conversation = example();
  assert.equal(ids(conversation), 'ae');
  assert.equal(children(conversation, 'a').length, 2);
  assert.equal(ids(choose(conversation, conversation.turns['b']!)), 'abcd');
});

test('a copy holds the path and nothing beside it', () => {
  const copy = copy_until(choose(example(), example().turns['b']!), 'c');
  assert.equal(ids(copy), 'abc');
  assert.equal(Object.keys(copy.turns).length, 3);
});

test('open calls are those without a result', () => {
  const calls = [{ id: '1', name: 'f', arguments: '' }, { id: '2', name: 'g', arguments: '' }];
  const answer = turn('b', 'a', 'assistant', { calls });
  assert.deepEqual(open_calls([turn('a', null, 'user'), answer]).map((call) => call.id), ['1', '2']);
  const result = turn('c', 'b', 'tool', { call_id: '1' });
  assert.deepEqual(open_calls([answer, result]).map((call) => call.id), ['2']);
  assert.deepEqual(open_calls([answer, turn('d', 'b', 'user')]), []);
});

test('an exported conversation comes back; anything else does not break the page', () => {
  const back = read_exported(JSON.parse(JSON.stringify(example())))!;
  assert.equal(ids(back), 'ae');
  for (const bad of [null, 1, 'x', [], {}, { turns: null }, { turns: [1, { id: 2 }] }, { turns: { a: { id: 'a', role: 'user', parent: 'zz' } } }])
    assert.doesNotThrow(() => {
      const read = read_exported(bad);
      if (read) path(read);
    });
  const circle = read_exported({ turns: { a: { id: 'a', role: 'user', parent: 'b' }, b: { id: 'b', role: 'user', parent: 'a' } } });
  assert.deepEqual(circle && path(circle), []);
  const odd = read_exported({ turns: { a: { id: 'a', role: 'user', content: { html: 1 }, calls: [{ id: 'x' }] } }, settings: { temperature: 'hot', thinking: 'x' } })!;
  assert.equal(odd.turns['a']!.content, '');
  assert.equal(odd.settings.temperature, null);
});

test('titles and search', () => {
  assert.equal(title_from('Hello\nworld'), 'Hello');
  assert.ok(title_from('word '.repeat(40)).length <= 53);
  assert.ok(matches({ ...example(), title: 'Ships at Sea' }, 'sea ship'));
  assert.ok(!matches({ ...example(), title: 'Ships at Sea' }, 'sea goat'));
});

test('server-sent events in pieces of any size', () => {
  const bytes = new TextEncoder().encode('data: {"a":"é😀"}\r\n\r\n: ping\n\nevent: x\ndata: 1\ndata: 2\n\ndata: [DONE]\n\n');
  for (let size = 1; size < bytes.length; ++size) {
    const reader = new EventReader();
    const events: string[] = [];
    for (let at = 0; at < bytes.length; at += size) events.push(...reader.push(bytes.subarray(at, at + size)));
    assert.deepEqual(events, ['{"a":"é😀"}', '1\n2', '[DONE]']);
  }
});
