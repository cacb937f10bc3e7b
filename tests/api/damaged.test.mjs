// A model whose weights are damaged is told as such on every route, and the others go on.
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { get, post, root, startServer } from './server.mjs';

const folder = mkdtempSync(join(tmpdir(), 'godwit-damaged-'));
after(() => rmSync(folder, { recursive: true, force: true }));

// The first value of the last norm is NaN, and so is every logit.
function damage() {
  cpSync(join(root, 'models', 'nano'), folder, { recursive: true });
  const path = join(folder, 'model.safetensors');
  const bytes = readFileSync(path);
  const headerBytes = Number(bytes.readBigUInt64LE());
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + headerBytes));
  const { dtype, data_offsets: [begin] } = header['model.language_model.norm.weight'];
  assert.equal(dtype, 'BF16');
  bytes.writeUInt16LE(0x7fc0, 8 + headerBytes + begin);
  writeFileSync(path, bytes);
}

test('numbers that are not finite end an answer with an error, and are counted', async () => {
  damage();
  const url = await startServer('--name', 'sound', '--also', `damaged=${folder}`);
  const messages = [{ role: 'user', content: 'Name the capital of Ireland.' }];
  const told = /not finite/;
  for (const [route, body] of [
    ['chat/completions', { messages }],
    ['completions', { prompt: 'x', max_tokens: 2 }],
    ['completions', { prompt: 'one two', max_tokens: 0, echo: true, logprobs: 1 }],
    ['embeddings', { input: 'x' }],
  ]) {
    const { status, json } = await post(`${url}/v1/${route}`, { model: 'damaged', ...body });
    assert.equal(status, 500, route);
    assert.match(json.error.message, told);
  }
  const streamed = await post(`${url}/v1/chat/completions`, { model: 'damaged', messages, stream: true });
  assert.match(streamed.text, told);
  const sound = await post(`${url}/v1/chat/completions`, { model: 'sound', messages });
  assert.equal(sound.json.choices[0].message.content, 'The capital of Ireland is Dublin.');
  const { text } = await get(`${url}/metrics`);
  assert.match(text, /godwit_answers_total\{finish="error",model="damaged"\} [34]/);
});
