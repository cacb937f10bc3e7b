// /v1/responses through the official client.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import OpenAI, { BadRequestError, NotFoundError } from 'openai';
import { all, pictureUrl, post, settled, shapes, startServer, tools as chatTools, weather } from './server.mjs';

const url = await startServer();
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });
const tools = chatTools.map((tool) => ({ type: 'function', strict: false, ...tool.function }));
const fine = 'I am fine, thank you.';

const ask = (body) => client.responses.create({ model: 'nano', temperature: 0, ...body });
const message = (role, content) => ({ type: 'message', role, content });
const result = (call, output) => ({ type: 'function_call_output', call_id: call.call_id, output });
const itemsOf = (response, type) => response.output.filter((item) => item.type === type);

test('an answer and its shape', async () => {
  const response = await ask({ input: 'How are you?' });
  assert.match(response.id, /^resp_/);
  assert.equal(response.object, 'response');
  assert.equal(response.status, 'completed');
  assert.equal(response.model, 'nano');
  assert.equal(response.error, null);
  assert.equal(response.incomplete_details, null);
  assert.equal(response.output_text, fine);
  const [item] = response.output;
  assert.match(item.id, /^msg_/);
  assert.equal(item.role, 'assistant');
  assert.equal(item.status, 'completed');
  assert.deepEqual(item.content[0].annotations, []);
});
test('usage', async () => {
  const { usage } = await ask({ input: 'How are you?' });
  assert.ok(usage.input_tokens > 5 && usage.output_tokens > 3);
  assert.equal(usage.total_tokens, usage.input_tokens + usage.output_tokens);
  assert.equal(typeof usage.input_tokens_details.cached_tokens, 'number');
  assert.equal(usage.output_tokens_details.reasoning_tokens, 0);
});
test('what was asked is repeated', async () => {
  const response = await ask({ input: 'Hello!', metadata: { a: 'b' }, max_output_tokens: 50, instructions: 'Answer briefly.' });
  assert.deepEqual(response.metadata, { a: 'b' });
  assert.equal(response.max_output_tokens, 50);
  assert.equal(response.instructions, 'Answer briefly.');
  assert.equal(response.temperature, 0);
  assert.equal(response.tool_choice, 'auto');
  assert.deepEqual(response.tools, []);
  assert.equal(response.text.format.type, 'text');
});
test('instructions', async () =>
  assert.match((await ask({ input: 'Who are you?', instructions: 'Answer in one sentence.' })).output_text, /Qwen3\.5/));
test('input as items', async () =>
  assert.equal((await ask({ input: [message('user', [{ type: 'input_text', text: 'How are you?' }])] })).output_text, fine));
test('input as items without a type', async () =>
  assert.equal((await ask({ input: [{ role: 'user', content: 'How are you?' }] })).output_text, fine));
test('history as items', async () => {
  const input = [
    message('developer', 'Answer in one sentence.'),
    message('user', 'How are you?'),
    message('assistant', [{ type: 'output_text', text: fine, annotations: [] }]),
    message('user', 'Who are you?'),
  ];
  assert.match((await ask({ input })).output_text, /Qwen3\.5/);
});
test('picture', async () => {
  const content = [{ type: 'input_image', image_url: pictureUrl('shapes'), detail: 'auto' },
    { type: 'input_text', text: 'What is in the picture?' }];
  assert.equal((await ask({ input: [message('user', content)] })).output_text, shapes);
});
test('max_output_tokens: incomplete', async () => {
  const response = await ask({ input: 'Who are you?', max_output_tokens: 3 });
  assert.equal(response.status, 'incomplete');
  assert.equal(response.incomplete_details.reason, 'max_output_tokens');
  assert.equal(response.output[0].status, 'incomplete');
  assert.equal(response.usage.output_tokens, 3);
});
test('logprobs', async () => {
  const response = await ask({ input: 'How are you?', include: ['message.output_text.logprobs'], top_logprobs: 2 });
  const { logprobs } = response.output[0].content[0];
  assert.ok(logprobs.length > 3);
  assert.equal(logprobs[0].top_logprobs.length, 2);
});

test('streamed: events in order, numbered', async () => {
  const events = await all(await ask({ input: 'How are you?', stream: true }));
  assert.deepEqual(events.map((event) => event.sequence_number), events.map((_, i) => i));
  const types = events.map((event) => event.type);
  const deltas = types.filter((type) => type === 'response.output_text.delta');
  assert.ok(deltas.length > 2);
  assert.deepEqual(types.filter((type, i) => type !== types[i - 1]), [
    'response.created', 'response.in_progress', 'response.output_item.added', 'response.content_part.added',
    'response.output_text.delta', 'response.output_text.done', 'response.content_part.done',
    'response.output_item.done', 'response.completed',
  ]);
});
test('streamed: deltas, done and completed say the same', async () => {
  const events = await all(await ask({ input: 'How are you?', stream: true }));
  const of = (type) => events.filter((event) => event.type === `response.${type}`);
  assert.equal(of('output_text.delta').map((event) => event.delta).join(''), fine);
  assert.equal(of('output_text.done')[0].text, fine);
  assert.equal(of('completed')[0].response.output[0].content[0].text, fine);
  assert.ok(of('completed')[0].response.usage.output_tokens > 0);
  assert.equal(of('created')[0].response.id, of('completed')[0].response.id);
});
test("streamed: the client's own accumulation", async () => {
  const stream = client.responses.stream({ model: 'nano', temperature: 0, input: 'How are you?' });
  assert.equal((await stream.finalResponse()).output_text, fine);
});
test('streamed: incomplete', async () => {
  const events = await all(await ask({ input: 'Who are you?', max_output_tokens: 3, stream: true }));
  assert.equal(events.at(-1).type, 'response.incomplete');
  assert.equal(events.at(-1).response.status, 'incomplete');
});

test('tools: a call', async () => {
  const response = await ask({ input: weather, tools });
  const [call] = itemsOf(response, 'function_call');
  assert.match(call.id, /^fc_/);
  assert.match(call.call_id, /^call_/);
  assert.equal(call.name, 'get_weather');
  assert.deepEqual(JSON.parse(call.arguments), { city: 'Tokyo' });
  assert.equal(call.status, 'completed');
  assert.equal(response.status, 'completed');
});
test('tools: streamed', async () => {
  const events = await all(await ask({ input: weather, tools, stream: true }));
  const of = (type) => events.filter((event) => event.type === `response.${type}`);
  const pieces = of('function_call_arguments.delta').map((event) => event.delta);
  assert.ok(pieces.length > 1);
  assert.deepEqual(JSON.parse(pieces.join('')), { city: 'Tokyo' });
  assert.equal(of('function_call_arguments.done')[0].arguments, pieces.join(''));
  assert.equal(of('output_item.added')[0].item.arguments, '');
  assert.equal(of('output_item.done')[0].item.name, 'get_weather');
});
test("tools: streamed, the client's own accumulation", async () => {
  const stream = client.responses.stream({ model: 'nano', temperature: 0, input: weather, tools });
  const [call] = (await stream.finalResponse()).output;
  assert.deepEqual(JSON.parse(call.arguments), { city: 'Tokyo' });
});
test('tools: round trip with the whole history', async () => {
  const input = [message('user', weather)];
  const first = await ask({ input, tools, store: false });
  const [call] = itemsOf(first, 'function_call');
  input.push(...first.output, result(call, '{"temperature": 21, "sky": "sunny"}'));
  const second = await ask({ input, tools, store: false });
  assert.match(second.output_text, /Tokyo/);
  assert.ok(second.usage.input_tokens_details.cached_tokens >= first.usage.input_tokens);
});
test('tools: round trip by previous_response_id', async () => {
  const first = await ask({ input: weather, tools });
  const [call] = itemsOf(first, 'function_call');
  const second = await ask({ previous_response_id: first.id, tools, input: [result(call, '{"temperature": 21, "sky": "sunny"}')] });
  assert.match(second.output_text, /Tokyo/);
  assert.equal(second.previous_response_id, first.id);
  assert.ok(second.usage.input_tokens_details.cached_tokens >= first.usage.input_tokens);
});
test('tools: output as a list of parts', async () => {
  const first = await ask({ input: weather, tools });
  const [call] = itemsOf(first, 'function_call');
  const output = [{ type: 'input_text', text: '{"temperature": 21, "sky": "sunny"}' }];
  assert.match((await ask({ previous_response_id: first.id, tools, input: [result(call, output)] })).output_text, /Tokyo/);
});
test("tools: those of OpenAI's servers are ignored", async () => {
  const more = [{ type: 'web_search' }, { type: 'local_shell' }, { type: 'custom', name: 'apply_patch' }, ...tools];
  assert.equal(itemsOf(await ask({ input: weather, tools: more }), 'function_call')[0].name, 'get_weather');
});
test('tools: tool_choice none', async () =>
  assert.equal(itemsOf(await ask({ input: weather, tools, tool_choice: 'none' }), 'function_call').length, 0));

const sum = { input: 'What is 5 + 5?' };
test('reasoning: an item of its own', async () => {
  const response = await ask({ ...sum, reasoning: { effort: 'medium' } });
  assert.deepEqual(response.output.map((item) => item.type), ['reasoning', 'message']);
  assert.match(response.output[0].id, /^rs_/);
  assert.equal(response.output[0].content[0].type, 'reasoning_text');
  assert.ok(response.output[0].content[0].text.length > 0);
  assert.match(response.output_text, /10/);
  assert.ok(response.usage.output_tokens_details.reasoning_tokens > 0);
});
test('reasoning: as a summary when one is asked for', async () => {
  const { output } = await ask({ ...sum, reasoning: { effort: 'medium', summary: 'auto' } });
  assert.equal(output[0].summary[0].type, 'summary_text');
  assert.ok(output[0].summary[0].text.length > 0);
});
test('reasoning: effort none', async () =>
  assert.deepEqual((await ask({ ...sum, reasoning: { effort: 'none' } })).output.map((item) => item.type), ['message']));
test('reasoning: streamed as text', async () => {
  const events = await all(await ask({ ...sum, reasoning: { effort: 'low' }, stream: true }));
  const deltas = events.filter((event) => event.type === 'response.reasoning_text.delta');
  const done = events.find((event) => event.type === 'response.reasoning_text.done');
  assert.ok(deltas.length > 1);
  assert.equal(deltas.map((event) => event.delta).join(''), done.text);
});
test('reasoning: streamed as a summary', async () => {
  const events = await all(await ask({ ...sum, reasoning: { effort: 'low', summary: 'detailed' }, stream: true }));
  const types = events.map((event) => event.type);
  for (const type of ['part.added', 'text.delta', 'text.done', 'part.done'])
    assert.ok(types.includes(`response.reasoning_summary_${type}`), type);
});
for (const summary of [undefined, 'auto']) {
  test(`reasoning: the client's own accumulation, summary ${summary}`, async () => {
    const stream = client.responses.stream({ model: 'nano', temperature: 0, ...sum, reasoning: { effort: 'low', summary } });
    const final = await stream.finalResponse();
    assert.ok((final.output[0].content?.[0] ?? final.output[0].summary[0]).text.length > 0);
    assert.match(final.output_text, /10/);
  });
}
test('reasoning: sent back, encrypted, in a conversation that is not stored', async () => {
  const body = { reasoning: { effort: 'low' }, store: false, include: ['reasoning.encrypted_content'] };
  const input = [message('user', sum.input)];
  const first = await ask({ ...body, input });
  assert.ok(first.output[0].encrypted_content.length > 0);
  const { content, ...encrypted } = first.output[0];
  input.push(encrypted, first.output[1], message('user', 'What is 6 + 0?'));
  const second = await ask({ ...body, input });
  assert.match(second.output_text, /6/);
  assert.ok(second.usage.input_tokens_details.cached_tokens >= first.usage.input_tokens);
});

test('chain: three turns by previous_response_id', async () => {
  const first = await ask({ input: 'How are you?' });
  const second = await ask({ input: 'Who are you?', previous_response_id: first.id });
  const third = await ask({ input: 'What can you do?', previous_response_id: second.id });
  assert.ok(second.usage.input_tokens_details.cached_tokens >= first.usage.input_tokens);
  assert.ok(third.usage.input_tokens_details.cached_tokens >= second.usage.input_tokens);
  assert.ok(third.usage.input_tokens > second.usage.input_tokens);
});
test('chain: streamed responses are stored, too', async () => {
  const events = await all(await ask({ input: 'How are you?', stream: true }));
  const { id } = events.at(-1).response;
  assert.equal((await client.responses.retrieve(id)).output_text, fine);
});
test('chain: an unknown id is refused', () =>
  assert.rejects(ask({ input: 'x', previous_response_id: 'resp_nothing' }), /previous_response_id/));
test('store: false is not stored', async () => {
  const { id } = await ask({ input: 'How are you?', store: false });
  await assert.rejects(client.responses.retrieve(id), NotFoundError);
  await assert.rejects(ask({ input: 'x', previous_response_id: id }), BadRequestError);
});
test('retrieve: as it was answered', async () => {
  const response = await ask({ input: 'How are you?' });
  assert.deepEqual((await client.responses.retrieve(response.id)).output, response.output);
});
test('input_items: those of the chain, the newest first', async () => {
  const first = await ask({ input: 'How are you?' });
  const second = await ask({ input: 'Who are you?', previous_response_id: first.id });
  const items = await all(client.responses.inputItems.list(second.id));
  assert.deepEqual(items.map((item) => item.role), ['user', 'assistant', 'user']);
  assert.equal(items[0].content[0].text, 'Who are you?');
  const rising = await all(client.responses.inputItems.list(second.id, { order: 'asc', limit: 1 }));
  assert.equal(rising.length, 3);
  assert.equal(rising[0].content[0].text, 'How are you?');
});
test('items by reference, until their response is deleted', async () => {
  const first = await ask({ input: [message('user', 'How are you?')] });
  const [{ id: asked }] = await all(client.responses.inputItems.list(first.id));
  const ids = [asked, ...first.output.map((item) => item.id)];
  const references = ids.map((id) => ({ type: 'item_reference', id }));
  const input = [...references, message('user', 'Who are you?')];
  const second = await ask({ input });
  assert.match(second.output_text, /Qwen3\.5/);
  assert.ok(second.usage.input_tokens_details.cached_tokens >= first.usage.input_tokens);
  const items = await all(client.responses.inputItems.list(second.id, { order: 'asc' }));
  assert.deepEqual(items.map((item) => item.type), ['message', 'message', 'message']);
  await client.responses.delete(first.id);
  assert.match((await ask({ input, store: false })).output_text, /Qwen3\.5/); // the second has them, too
  await client.responses.delete(second.id);
  await assert.rejects(ask({ input, store: false }), /was not stored/);
});
test('a prompt that is too long: an event of the stream, by which agents know it; 400 without one', async () => {
  const input = 'The wind is from the west. '.repeat(4000);
  const [created, , failed] = await all(await ask({ input, stream: true }));
  assert.equal(created.type, 'response.created');
  assert.equal(failed.type, 'response.failed');
  assert.equal(failed.response.error.code, 'context_length_exceeded');
  assert.match(failed.response.error.message, /prompt is too long/);
  await assert.rejects(ask({ input }), (error) => error.status === 400 && error.code === 'context_length_exceeded');
});
test('delete', async () => {
  const { id } = await ask({ input: 'How are you?' });
  await client.responses.delete(id);
  await assert.rejects(client.responses.retrieve(id), NotFoundError);
  await assert.rejects(client.responses.delete(id), NotFoundError);
});
test('input_tokens counts as the answer does', async () => {
  const body = { model: 'nano', input: weather, tools };
  const { json } = await post(`${url}/v1/responses/input_tokens`, body);
  assert.equal(json.input_tokens, (await ask(body)).usage.input_tokens);
  const long = await post(`${url}/v1/responses/input_tokens`, { input: 'word '.repeat(40_000) });
  assert.ok(long.json.input_tokens > 40_000, long.text.slice(0, 200)); // than the context
});

for (const [name, body, pattern] of [
  ['no input', {}, /input/],
  ['input of the wrong type', { input: 5 }, /input: expected/],
  ['an item without content', { input: [{ type: 'message', role: 'user' }] }, /input\[0\]\.content/],
  ['an unknown role', { input: [message('wizard', 'x')] }, /input\[0\]\.role/],
  ['text.format json_schema', { input: 'x', text: { format: { type: 'json_schema', name: 'a', schema: {} } } }, /not supported yet/],
  ['strict tools', { input: 'x', tools: [{ ...tools[0], strict: true }] }, /strict.*not supported yet/],
  ['tool_choice required', { input: 'x', tools, tool_choice: 'required' }, /tool_choice/],
  ['background', { input: 'x', background: true }, /background/],
  ['a conversation object', { input: 'x', conversation: 'conv_1' }, /conversation/],
  ['an unknown effort', { input: 'x', reasoning: { effort: 'heroic' } }, /reasoning\.effort/],
  ['an item twice by reference', { input: [1, 2].map(() => ({ type: 'item_reference', id: 'msg_1' })) }, /msg_1/],
  ['a reference to an unknown item', { input: [{ type: 'item_reference', id: 'msg_1' }] }, /input\[0\]: item 'msg_1' was not stored/],
]) {
  test(`error: ${name}`, () =>
    assert.rejects(ask(body), (error) => {
      assert.ok(error instanceof BadRequestError, String(error));
      assert.match(error.message, pattern);
      return true;
    }));
}
test('abort: a stream that the client leaves ends at the server', async () => {
  const stream = await ask({ input: 'Tell me something.', stream: true });
  for await (const event of stream) if (event.type === 'response.output_text.delta') break;
  stream.controller.abort();
  assert.ok(await settled(url));
});
