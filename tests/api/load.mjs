// Load on the built server with the demonstration model: 64 connections that ask in all dialects, streamed and not, some
// leaving halfway; then a thousand streams that wait. No error, every answer as it was the first time, no growth of memory,
// no connection served worse than others.
//   node load.mjs [SECONDS [CONNECTIONS]]     GODWIT is the program
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { pictureUrl, root, testEnvironment, tools } from './server.mjs';

const seconds = Number(process.argv[2] ?? process.env.GODWIT_LOAD_SECONDS ?? 600);
const connections = Number(process.argv[3] ?? 64);
const program = process.env.GODWIT ?? join(root, 'build', 'godwit');
const IDLE = 1000;

const child = spawn(program, ['serve', '-m', join(root, 'models/nano'), '--port', '0', '--parallel', '8', '--queue', '2000'], {
  env: testEnvironment(),
  stdio: ['ignore', 'ignore', 'pipe'],
});
process.on('exit', () => child.kill('SIGKILL'));
const port = await new Promise((resolve, reject) => {
  let log = '';
  child.stderr.on('data', (bytes) => {
    log += bytes;
    const found = /http:\/\/127\.0\.0\.1:(\d+)/.exec(log);
    if (found) resolve(Number(found[1]));
  });
  child.on('exit', (code) => reject(new Error(`the server ended with ${code}: ${log}`)));
});
const megabytes = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))[1]) / 1024;

// Resolves with {status, text}; with `leave`, after the first bytes of the body, which are then all.
function ask(agent, { path, body }, leave = false) {
  return new Promise((resolve, reject) => {
    const bytes = JSON.stringify(body);
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(bytes) };
    const sent = request({ agent, port, path, method: 'POST', headers }, (reply) => {
      let text = '';
      reply.on('error', reject);
      reply.on('data', (piece) => {
        text += piece;
        if (!leave) return;
        reply.removeAllListeners('error').on('error', () => {});
        sent.destroy();
        resolve({ status: reply.statusCode, text });
      });
      reply.on('end', () => resolve({ status: reply.statusCode, text }));
    });
    sent.on('error', reject);
    sent.end(bytes);
  });
}

const user = (content) => [{ role: 'user', content }];
const chat = (more) => ({ path: '/v1/chat/completions', body: { temperature: 0, max_tokens: 60, ...more } });
const lines = (text) => text.split('\n').filter((line) => line.startsWith('data: {')).map((line) => JSON.parse(line.slice(6)));
const deltas = (text) => {
  assert.ok(text.endsWith('data: [DONE]\n\n'));
  return lines(text).flatMap(({ choices }) => choices).map(({ delta: { content, tool_calls: calls } }) => [content, calls?.[0].function]);
};
// What each connection asks in turn; `said` is what must be the same each time.
const kinds = [
  { ...chat({ messages: user('Name the capital of Ireland.') }), said: (text) => JSON.parse(text).choices[0].message },
  { ...chat({ messages: user('Count from one to twenty.'), stream: true }), said: (text) => JSON.stringify(deltas(text)), leaves: true },
  { ...chat({ messages: user('How is the weather in Tokyo today?'), tools, stream: true }), said: (text) => JSON.stringify(deltas(text)) },
  { path: '/v1/messages', body: { max_tokens: 60, temperature: 0, stream: true, messages: user('Who are you?') },
    said: (text) => {
      const events = lines(text);
      assert.equal(events.at(-1).type, 'message_stop');
      return events.map(({ delta }) => delta?.text ?? '').join('');
    } },
  { path: '/api/chat', body: { model: 'nano', options: { temperature: 0, num_predict: 60 }, messages: user('How are you?') },
    said: (text) => {
      const list = text.trimEnd().split('\n').map((line) => JSON.parse(line));
      assert.equal(list.at(-1).done, true);
      return list.map(({ message }) => message.content).join('');
    } },
  { ...chat({ messages: user([{ type: 'image_url', image_url: { url: pictureUrl('shapes') } }, { type: 'text', text: 'What is in the picture?' }]) }),
    said: (text) => JSON.parse(text).choices[0].message },
  { path: '/v1/responses', body: { temperature: 0, input: 'What is 5 + 9?', store: false, stream: true },
    said: (text) => lines(text).find(({ type }) => type === 'response.output_text.done').text },
  { path: '/v1/embeddings', body: { input: ['one text', 'another'] }, said: (text) => JSON.parse(text).data.map(({ embedding }) => embedding) },
];

const quantile = (list, q) => list[Math.min(list.length - 1, Math.floor(q * list.length))];
const sorted = (list) => [...list].sort((a, b) => a - b);
const faults = [], known = new Map(), times = Array.from({ length: connections }, () => []);

async function work(connection, end) {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  for (let i = connection; Date.now() < end; ++i) {
    const kind = kinds[i % kinds.length];
    const leave = Boolean(kind.leaves) && Math.floor(i / kinds.length) % 4 === 3;
    const begin = performance.now();
    try {
      const { status, text } = await ask(agent, kind, leave);
      if (status !== 200) throw new Error(`${status}: ${text}`);
      if (leave) continue;
      const said = JSON.stringify(kind.said(text));
      if (!known.has(kind)) known.set(kind, said);
      if (known.get(kind) !== said) throw new Error(`another answer: ${said}, before: ${known.get(kind)}`);
      times[connection].push(performance.now() - begin);
    } catch (error) {
      faults.push(`${kind.path}: ${error.message}`);
    }
  }
  agent.destroy();
}

const begin = Date.now();
const memory = [];
const timer = setInterval(() => memory.push(megabytes()), Math.max(1000, (seconds * 1000) / 60));
await Promise.all(times.map((_, connection) => work(connection, begin + seconds * 1000)));
clearInterval(timer);

const all = sorted(times.flat());
const medians = sorted(times.map((list) => quantile(sorted(list), 0.5)));
const early = Math.max(...memory.slice(0, Math.ceil(memory.length / 4))), late = memory.at(-1);
console.log(`${all.length} answers in ${seconds} s on ${connections} connections, ${faults.length} faults`);
console.log(`latency: p50 ${quantile(all, 0.5).toFixed(0)} ms, p95 ${quantile(all, 0.95).toFixed(0)} ms, max ${all.at(-1).toFixed(0)} ms`);
console.log(`median of a connection: ${medians[0].toFixed(0)} to ${medians.at(-1).toFixed(0)} ms; answers of one: ` +
  `${Math.min(...times.map((list) => list.length))} to ${Math.max(...times.map((list) => list.length))}`);
console.log(`memory: ${early.toFixed(1)} MB in the first quarter at most, ${late.toFixed(1)} MB at the end`);
assert.deepEqual(faults.slice(0, 5), []);
assert.ok(late < early + 8, 'memory grows');
assert.ok(medians.at(-1) < 1.5 * medians[0], 'some connections wait longer than others');

// Eight answers that take their time hold the engine; a thousand streams wait behind them.
const agent = new Agent({ maxSockets: Infinity });
const long = chat({ messages: user('Tell me about the sea.'), stream: true, ignore_eos: true, max_tokens: 20000 });
const ended = [];
const hold = (count) => {
  for (let i = 0; i < count; ++i) {
    const bytes = JSON.stringify(long.body);
    const sent = request({ agent, port, path: long.path, method: 'POST', headers: { 'content-length': bytes.length } });
    sent.on('error', () => {});
    sent.on('response', (reply) => reply.on('error', () => {}).resume());
    sent.end(bytes);
    ended.push(sent);
  }
};
const stats = async () => (await (await fetch(`http://127.0.0.1:${port}/info`)).json()).models[0].engine.stats;
const until = async (condition) => {
  for (let i = 0; i < 600; ++i) {
    if (condition(await stats())) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`not within half a minute: ${condition}, ${JSON.stringify(await stats())}`);
};
hold(8);
await until(({ running }) => running === 8);
const alone = megabytes();
hold(IDLE);
await until(({ running, waiting }) => running + waiting >= IDLE + 8);
const idle = megabytes() - alone;
console.log(`${IDLE} waiting streams: ${idle.toFixed(1)} MB more`);
for (const sent of ended) sent.destroy();
await until(({ running, waiting }) => running + waiting === 0);
assert.ok(idle < 64);
process.exit(0);
