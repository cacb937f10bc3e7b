// /v1/messages through the official client.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import Anthropic, { AuthenticationError, BadRequestError } from '@anthropic-ai/sdk';
import { all, get, picture, post, settled, shapes, startServer, tools as chatTools, weather } from './server.mjs';

const key = 'sk-of-this-test';
const url = await startServer('--api-key', key);
const client = new Anthropic({ baseURL: url, apiKey: key, maxRetries: 0 });
const tools = chatTools.map(({ function: { name, description, parameters } }) => ({ name, description, input_schema: parameters }));
const fine = 'I am fine, thank you.';

const ask = (body) => client.messages.create({ model: 'claude-opus-4-6', max_tokens: 400, temperature: 0, ...body });
const user = (content) => [{ role: 'user', content }];
const image = (name) => ({ type: 'image', source: { type: 'base64', media_type: 'image/png', data: picture(name) } });
const thinking = { type: 'enabled', budget_tokens: 1024 };
const cached = (message) => message.usage.cache_read_input_tokens;
const promptOf = ({ usage }) => usage.input_tokens + usage.cache_read_input_tokens;

test('an answer and its shape', async () => {
  const message = await ask({ messages: user('How are you?') });
  assert.match(message.id, /^msg_/);
  assert.equal(message.type, 'message');
  assert.equal(message.role, 'assistant');
  assert.deepEqual(message.content, [{ type: 'text', text: fine }]);
  assert.equal(message.stop_reason, 'end_turn');
  assert.equal(message.stop_sequence, null);
});
test('usage: what was reused is told apart', async () => {
  const messages = user('Tell me once more, and slowly, please: how are you on this fine day?');
  const first = await ask({ messages });
  const second = await ask({ messages });
  assert.ok(first.usage.input_tokens > 0 && first.usage.output_tokens > 0);
  assert.ok(cached(second) > 0);
  assert.equal(promptOf(first), promptOf(second));
  assert.equal(first.usage.cache_creation_input_tokens, 0);
});
test('system as a string', async () =>
  assert.match((await ask({ system: 'Answer in one sentence.', messages: user('Who are you?') })).content[0].text, /Qwen3\.5/));
test('system as blocks with cache_control', async () => {
  const system = [{ type: 'text', text: 'Answer in one sentence.', cache_control: { type: 'ephemeral' } }];
  assert.match((await ask({ system, messages: user('Who are you?') })).content[0].text, /Qwen3\.5/);
});
test('a late system block is merged', async () => {
  const messages = [...user('Who are you?'), { role: 'system', content: 'Answer in one sentence.' }];
  assert.ok((await ask({ messages })).content[0].text.length > 0);
});
test('a billing nonce in the first system block is no part of the prompt', async () => {
  const system = (nonce) => [
    { type: 'text', text: `x-anthropic-billing-header: cc_version=2.1.50; cc_entrypoint=cli; cch=${nonce};` },
    { type: 'text', text: 'You are a helpful assistant. Answer briefly, and never in more than one sentence.' },
  ];
  const first = await ask({ system: system('a1b2c'), messages: user('How are you?') });
  const second = await ask({ system: system('ffe00'), messages: user('How are you?') });
  const bare = await ask({ system: system('x').slice(1), messages: user('How are you?') });
  assert.equal(promptOf(first), promptOf(bare));
  assert.ok(second.usage.input_tokens < 8, `${second.usage.input_tokens} tokens computed again`);
});
test('models: in the shape of this client', async () => {
  const list = await all(client.models.list());
  assert.deepEqual(list.map(({ id, type, display_name: name }) => [id, type, name]), [['nano', 'model', 'nano']]);
  assert.ok(Math.abs(Date.parse(list[0].created_at) - Date.now()) < 120_000);
  assert.equal((await client.models.retrieve('nano')).id, 'nano');
  await assert.rejects(client.models.retrieve('claude-17'), (error) => error.error.error.type === 'not_found_error');
});
const begun = (text) => [...user('How are you?'), { role: 'assistant', content: text }];
test('prefill: an answer that has begun goes on', async () => {
  assert.deepEqual((await ask({ messages: begun('I am') })).content, [{ type: 'text', text: ' fine, thank you.' }]);
  assert.equal((await ask({ messages: begun([{ type: 'text', text: 'I am fine' }]) })).content[0].text, ', thank you.');
});
test('prefill: streamed', async () =>
  assert.equal(await client.messages.stream({ model: 'nano', max_tokens: 50, temperature: 0, messages: begun('I am') }).finalText(),
    ' fine, thank you.'));
test('prefill: the next turn reuses it', async () => {
  const first = await ask({ messages: begun('I am') });
  const next = await ask({ messages: [...begun('I am' + first.content[0].text), ...user('Who are you?')] });
  assert.ok(next.usage.input_tokens < 20, `${next.usage.input_tokens} tokens computed again`);
});
test('prefill: not with thinking', () =>
  assert.rejects(ask({ max_tokens: 2000, thinking, messages: begun('I am') }), BadRequestError));
test('text blocks', async () =>
  assert.equal((await ask({ messages: user([{ type: 'text', text: 'How are you?', cache_control: { type: 'ephemeral' } }]) })).content[0].text, fine));
test('metadata and unknown fields are ignored', async () =>
  assert.ok((await ask({ messages: user('Hello!'), metadata: { user_id: 'u' }, service_tier: 'auto', sparkle: 1 })).content));
test('max_tokens', async () => {
  const message = await ask({ messages: user('Who are you?'), max_tokens: 3 });
  assert.equal(message.stop_reason, 'max_tokens');
  assert.equal(message.usage.output_tokens, 3);
});
test('stop_sequences', async () => {
  const message = await ask({ messages: user('How are you?'), stop_sequences: ['zzz', ', thank'] });
  assert.equal(message.content[0].text, 'I am fine');
  assert.equal(message.stop_reason, 'stop_sequence');
  assert.equal(message.stop_sequence, ', thank');
});
test('top_k 1 is greedy', async () =>
  assert.equal((await ask({ messages: user('How are you?'), temperature: 1, top_k: 1 })).content[0].text, fine));

test('streamed: events in order', async () => {
  const events = await all(await ask({ messages: user('How are you?'), stream: true }));
  const types = events.map((event) => event.type).filter((type) => type !== 'ping');
  assert.deepEqual(types.filter((type, i) => type !== types[i - 1]), [
    'message_start', 'content_block_start', 'content_block_delta', 'content_block_stop', 'message_delta', 'message_stop',
  ]);
  const deltas = events.filter((event) => event.type === 'content_block_delta');
  assert.ok(deltas.length > 2);
  assert.equal(deltas.map((event) => event.delta.text).join(''), fine);
});
test('streamed: pings, and the names of the events', async () => {
  const body = { max_tokens: 20, messages: user('How are you?'), stream: true };
  const { text } = await post(`${url}/v1/messages`, body, { 'x-api-key': key });
  assert.match(text, /^event: message_start\ndata: {"type":"message_start"/);
  assert.match(text, /\nevent: ping\n/);
  assert.ok(text.endsWith('event: message_stop\ndata: {"type":"message_stop"}\n\n'));
});
test('streamed: usage at both ends', async () => {
  const events = await all(await ask({ messages: user('How are you?'), stream: true }));
  const { usage } = events[0].message;
  const end = events.find((event) => event.type === 'message_delta').usage;
  assert.ok(usage.input_tokens + usage.cache_read_input_tokens > 5);
  assert.equal(usage.input_tokens + usage.cache_read_input_tokens, end.input_tokens + end.cache_read_input_tokens);
  assert.ok(end.output_tokens > 3);
});
test("streamed: the client's own accumulation", async () => {
  const stream = client.messages.stream({ model: 'x', max_tokens: 100, temperature: 0, messages: user('How are you?') });
  assert.equal(await stream.finalText(), fine);
});
test('streamed: max_tokens and stop_sequence', async () => {
  const last = async (body) => (await all(await ask({ ...body, stream: true }))).find((e) => e.type === 'message_delta').delta;
  assert.equal((await last({ messages: user('Who are you?'), max_tokens: 3 })).stop_reason, 'max_tokens');
  const stopped = await last({ messages: user('How are you?'), stop_sequences: ['fine'] });
  assert.deepEqual(stopped, { stop_reason: 'stop_sequence', stop_sequence: 'fine' });
});

test('picture: base64', async () =>
  assert.equal((await ask({ messages: user([image('shapes'), { type: 'text', text: 'What is in the picture?' }]) })).content[0].text, shapes));
test('picture: a sign, streamed', async () => {
  const stream = client.messages.stream({ model: 'x', max_tokens: 50, temperature: 0,
    messages: user([image('sign'), { type: 'text', text: 'Which text do you see?' }]) });
  assert.equal(await stream.finalText(), 'book');
});
test('picture: broken base64 is refused with its place', () =>
  assert.rejects(ask({ messages: user([{ type: 'image', source: { type: 'base64', media_type: 'image/png', data: '@' } }]) }),
    /messages\[0\]\.content\[0\]\.source\.data/));
test('document: plain text', async () => {
  const source = { type: 'text', media_type: 'text/plain', data: 'How are you?' };
  assert.ok((await ask({ messages: user([{ type: 'document', source }]) })).content[0].text);
});
test('document: PDF is refused clearly', () => {
  const source = { type: 'base64', media_type: 'application/pdf', data: 'aGVsbG8=' };
  return assert.rejects(ask({ messages: user([{ type: 'document', source }]) }), /only documents of plain text/);
});

const counted = async (body) => (await client.messages.countTokens({ model: 'x', ...body })).input_tokens;
test('search_result: title, source and content are text to the model', async () => {
  const find = { type: 'search_result', title: 'A title', source: 'https://example.org', citations: { enabled: true },
    content: [{ type: 'text', text: 'First.' }, { type: 'text', text: 'Second.' }] };
  const said = { type: 'text', text: 'A title\nSource: https://example.org\n\nFirst.\nSecond.\n\n' };
  const use = { role: 'assistant', content: [{ type: 'tool_use', id: 'toolu_1', name: 'get_weather', input: { city: 'Tokyo' } }] };
  const found = (block) => [...user(weather), use, ...user([{ type: 'tool_result', tool_use_id: 'toolu_1', content: [block, block] }])];
  for (const messages of [(block) => user([block, { type: 'text', text: 'How are you?' }]), found])
    assert.equal(await counted({ messages: messages(find) }), await counted({ messages: messages(said) }));
  await assert.rejects(ask({ messages: user([{ ...find, title: 5 }]) }), /content\[0\]\.title/);
});
test('tool_reference: what a search for tools found is named', async () => {
  const result = (content) => [...user(weather),
    { role: 'assistant', content: [{ type: 'tool_use', id: 'toolu_1', name: 'ToolSearch', input: { query: 'weather' } }] },
    ...user([{ type: 'tool_result', tool_use_id: 'toolu_1', content }])];
  const deferred = tools.map((tool) => ({ ...tool, defer_loading: true }));
  const messages = result([{ type: 'tool_reference', tool_name: 'get_weather' }]);
  assert.equal(await counted({ messages, tools: deferred }),
    await counted({ messages: result('The tool get_weather is available.\n'), tools }));
  assert.ok((await ask({ messages, tools: deferred })).content.length > 0);
});

test('tools: a call', async () => {
  const message = await ask({ messages: user(weather), tools });
  assert.equal(message.stop_reason, 'tool_use');
  const call = message.content.at(-1);
  assert.match(call.id, /^toolu_/);
  assert.equal(call.type, 'tool_use');
  assert.equal(call.name, 'get_weather');
  assert.deepEqual(call.input, { city: 'Tokyo' });
});
test('tools: streamed as pieces of JSON', async () => {
  const events = await all(await ask({ messages: user(weather), tools, stream: true }));
  const begin = events.find((event) => event.type === 'content_block_start');
  assert.deepEqual(begin.content_block.input, {});
  const pieces = events.filter((event) => event.delta?.type === 'input_json_delta').map((event) => event.delta.partial_json);
  assert.ok(pieces.length > 1);
  assert.deepEqual(JSON.parse(pieces.join('')), { city: 'Tokyo' });
  assert.equal(events.find((event) => event.type === 'message_delta').delta.stop_reason, 'tool_use');
});
test("tools: the client's own accumulation", async () => {
  const stream = client.messages.stream({ model: 'x', max_tokens: 100, temperature: 0, messages: user(weather), tools });
  assert.deepEqual((await stream.finalMessage()).content[0].input, { city: 'Tokyo' });
});
const results = [
  ['a string', '{"temperature": 21, "sky": "sunny"}'],
  ['text blocks', [{ type: 'text', text: '{"temperature": 21, "sky": "sunny"}' }]],
];
for (const [name, content] of results) {
  test(`tools: round trip with the result as ${name}`, async () => {
    const messages = user(weather);
    const first = await ask({ messages, tools });
    messages.push({ role: 'assistant', content: first.content });
    messages.push({ role: 'user', content: [{ type: 'tool_result', tool_use_id: first.content[0].id, content }] });
    const second = await ask({ messages, tools });
    assert.match(second.content[0].text, /Tokyo/);
    assert.equal(second.stop_reason, 'end_turn');
    assert.ok(cached(second) >= promptOf(first));
  });
}
test('tools: a picture as the result', async () => {
  const messages = user('Look at the screen.');
  messages.push({ role: 'assistant', content: [{ type: 'tool_use', id: 'toolu_1', name: 'get_time', input: {} }] });
  messages.push({ role: 'user', content: [{ type: 'tool_result', tool_use_id: 'toolu_1', content: [image('sign')] },
    { type: 'text', text: 'Which text do you see?' }] });
  const message = await ask({ messages, tools });
  assert.ok(message.usage.input_tokens > 0 && message.content.length > 0);
});
test('tools: a failed one, without content', async () => {
  const messages = user(weather);
  messages.push({ role: 'assistant', content: [{ type: 'tool_use', id: 'toolu_1', name: 'get_weather', input: { city: 'Tokyo' } }] });
  messages.push({ role: 'user', content: [{ type: 'tool_result', tool_use_id: 'toolu_1', is_error: true }] });
  assert.ok((await ask({ messages, tools })).stop_reason);
});
test("tools: those of Anthropic's servers are ignored", async () => {
  const more = [{ type: 'web_search_20250305', name: 'web_search' }, ...tools];
  assert.equal((await ask({ messages: user(weather), tools: more })).content.at(-1).name, 'get_weather');
});
test('tools: tool_choice auto and none', async () => {
  const auto = { type: 'auto', disable_parallel_tool_use: true };
  assert.equal((await ask({ messages: user(weather), tools, tool_choice: auto })).stop_reason, 'tool_use');
  assert.equal((await ask({ messages: user(weather), tools, tool_choice: { type: 'none' } })).stop_reason, 'end_turn');
});
for (const choice of [{ type: 'any' }, { type: 'tool', name: 'get_weather' }]) {
  test(`tools: tool_choice ${choice.type} is refused clearly`, () =>
    assert.rejects(ask({ messages: user(weather), tools, tool_choice: choice }), /tool_choice/));
}

const sum = user('What is 5 + 5?');
test('thinking: off unless asked for', async () =>
  assert.deepEqual((await ask({ messages: sum })).content.map((block) => block.type), ['text']));
test('thinking: a block with a signature', async () => {
  const { content } = await ask({ messages: sum, max_tokens: 2000, thinking });
  assert.deepEqual(content.map((block) => block.type), ['thinking', 'text']);
  assert.ok(content[0].thinking.length > 0 && content[0].signature.length > 0);
  assert.match(content[1].text, /10/);
});
test('thinking: adaptive', async () =>
  assert.equal((await ask({ messages: sum, thinking: { type: 'adaptive' }, output_config: { effort: 'medium' } })).content[0].type, 'thinking'));
test('thinking: disabled', async () =>
  assert.equal((await ask({ messages: sum, thinking: { type: 'disabled' } })).content[0].type, 'text'));
test('thinking: streamed, the signature last', async () => {
  const events = await all(await ask({ messages: sum, max_tokens: 2000, thinking, stream: true }));
  const kinds = events.filter((event) => event.index === 0 && event.delta).map((event) => event.delta.type);
  assert.equal(kinds.at(-1), 'signature_delta');
  assert.ok(kinds.slice(0, -1).every((kind) => kind === 'thinking_delta'));
  assert.ok(events.some((event) => event.index === 1 && event.delta?.type === 'text_delta'));
});
test("thinking: the client's own accumulation", async () => {
  const stream = client.messages.stream({ model: 'x', max_tokens: 2000, temperature: 0, thinking, messages: sum });
  const { content } = await stream.finalMessage();
  assert.ok(content[0].thinking.length > 0 && content[0].signature.length > 0);
});
test('thinking: with a tool, and sent back', async () => {
  const messages = user(weather);
  const first = await ask({ messages, tools, max_tokens: 2000, thinking });
  assert.deepEqual(first.content.map((block) => block.type), ['thinking', 'tool_use']);
  messages.push({ role: 'assistant', content: first.content });
  const block = { type: 'tool_result', tool_use_id: first.content[1].id, content: '{"temperature": 21, "sky": "sunny"}' };
  messages.push({ role: 'user', content: [block] });
  const second = await ask({ messages, tools, max_tokens: 2000, thinking });
  assert.match(second.content.at(-1).text, /Tokyo/);
  assert.ok(cached(second) >= promptOf(first));
});
test('thinking: redacted blocks are passed over', async () => {
  const messages = [...sum, { role: 'assistant', content: [{ type: 'redacted_thinking', data: 'x' }, { type: 'text', text: '10' }] },
    ...user('How are you?')];
  assert.ok((await ask({ messages })).content[0].text);
});

test('count_tokens counts as the answer does', async () => {
  const body = { system: 'Answer briefly.', messages: user([image('shapes'), { type: 'text', text: 'What is in the picture?' }]), tools };
  const count = await client.messages.countTokens({ model: 'x', ...body });
  assert.equal(count.input_tokens, promptOf(await ask(body)));
});
test('count_tokens: what is too long for the context is counted, pictures with it', async () => {
  const small = await startServer('-c', '256');
  const count = async (content) => {
    const { status, json } = await post(`${small}/v1/messages/count_tokens`, { messages: user(content) });
    assert.equal(status, 200);
    return json.input_tokens;
  };
  assert.ok((await count('word '.repeat(1000))) > 1000);
  const [one, many] = [await count([image('shapes')]), await count(Array(100).fill(image('shapes')))];
  assert.ok(many > 256 && many > 99 * (one - 12), `${one} and ${many} tokens`);
  const { status, json } = await post(`${small}/v1/messages`, { max_tokens: 1, messages: user('word '.repeat(1000)) });
  assert.equal(status, 400);
  assert.match(json.error.message, /prompt is too long/);
});
test('count_tokens: errors as elsewhere', () =>
  assert.rejects(client.messages.countTokens({ model: 'x', messages: [] }), BadRequestError));

for (const [name, body, pattern] of [
  ['messages missing', { messages: undefined }, /messages/],
  ['messages empty', { messages: [] }, /messages/],
  ['an unknown role', { messages: [{ role: 'tool', content: 'x' }] }, /messages\[0\]\.role/],
  ['content missing', { messages: [{ role: 'user' }] }, /messages\[0\]\.content/],
  ['an unknown block', { messages: user([{ type: 'smell' }]) }, /messages\[0\]\.content\[0\]\.type/],
  ['text of the wrong type', { messages: user([{ type: 'text', text: 5 }]) }, /messages\[0\]\.content\[0\]\.text/],
  ['system of the wrong type', { system: 5, messages: user('x') }, /system/],
  ['max_tokens 0', { max_tokens: 0, messages: user('x') }, /max_tokens/],
  ['an unknown effort, though nothing is thought', { messages: user('x'), output_config: { effort: 'heroic' } }, /output_config\.effort/],
  ['an unknown kind of thinking', { messages: user('x'), thinking: { type: 'deep' } }, /thinking\.type/],
  ['output bound to a schema', { messages: user('x'), output_config: { format: { type: 'json_schema', schema: {} } } }, /not supported yet/],
  ['a tool without name', { messages: user('x'), tools: [{ input_schema: {} }] }, /tools\[0\]\.name/],
  ['a strict tool', { messages: user('x'), tools: [{ ...tools[0], strict: true }] }, /strict.*not supported yet/],
]) {
  test(`error: ${name}`, () =>
    assert.rejects(ask(body), (error) => {
      assert.ok(error instanceof BadRequestError, String(error));
      assert.match(error.message, pattern);
      assert.equal(error.error.type, 'error');
      assert.equal(error.error.error.type, 'invalid_request_error');
      return true;
    }));
}
test('the id of a request is in every answer, and in every error', async () => {
  const { data, request_id: id } = await ask({ messages: user('How are you?') }).withResponse();
  assert.match(id, /^req_/);
  assert.equal(data._request_id, id);
  const stranger = new Anthropic({ baseURL: url, apiKey: 'no', maxRetries: 0 });
  for (const refused of [() => ask({ messages: [] }), () => ask({ messages: user('x'.repeat(200_000)) }), () => client.models.retrieve('none'),
    () => stranger.messages.countTokens({ model: 'x', messages: user('x') })])
    await assert.rejects(refused(), (error) => {
      assert.match(error.requestID, /^req_/);
      assert.equal(error.error.request_id, error.requestID);
      return true;
    });
});
test('error: a wrong key', async () => {
  const stranger = new Anthropic({ baseURL: url, apiKey: 'wrong', maxRetries: 0 });
  const call = stranger.messages.create({ model: 'x', max_tokens: 5, messages: user('x') });
  await assert.rejects(call, (error) =>
    error instanceof AuthenticationError && error.error.error.type === 'authentication_error');
});
test('the key as a bearer token', async () => {
  const bearer = new Anthropic({ baseURL: url, apiKey: null, authToken: key, maxRetries: 0 });
  assert.ok((await bearer.messages.create({ model: 'x', max_tokens: 5, messages: user('x') })).id);
});
test('no key: health only', async () => {
  assert.equal((await get(`${url}/health`)).status, 200);
  assert.equal((await get(`${url}/v1/models`)).status, 401);
  assert.equal((await post(`${url}/v1/messages`, {})).status, 401);
});
test('the header anthropic-version is not needed', async () => {
  const body = { max_tokens: 5, messages: user('x') };
  assert.equal((await post(`${url}/v1/messages?beta=true`, body, { 'x-api-key': key })).status, 200);
});
test('abort: a stream that the client leaves ends at the server', async () => {
  const stream = await ask({ messages: user('Tell me something.'), stream: true });
  for await (const event of stream) if (event.type === 'content_block_delta') break;
  stream.controller.abort();
  assert.ok(await settled(url, { 'x-api-key': key }));
});

test('error: a message of no blocks is refused with its path', () =>
  assert.rejects(ask({ messages: user([]) }), /messages\[0\]\.content: expected at least one block/));
