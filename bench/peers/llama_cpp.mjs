// Speed of llama.cpp on a GGUF file, through its prebuilt binary in the npm package node-llama-cpp.
//   node llama_cpp.mjs FOLDER_WITH_NODE_MODULES MODEL.gguf THREADS PROMPT TOKENS REPEATS   → JSON on standard output
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import path from "node:path";

const [folder, modelPath, ...numbers] = process.argv.slice(2);
const [threads, prompt, tokens, repeats] = numbers.map(Number);
const entry = createRequire(path.join(path.resolve(folder), "x.js")).resolve("node-llama-cpp");
const { getLlama } = await import(pathToFileURL(entry).href);

const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
const llama = await getLlama({ gpu: false, build: "never", maxThreads: threads });
const model = await llama.loadModel({ modelPath });
const context = await model.createContext({ contextSize: prompt + tokens + 64, batchSize: 512, threads });
const sequence = context.getSequence();
const ids = (n) => Array.from({ length: n }, (_, i) => (i * 7919 + 17) % 200);

const prefill = [], decode = [];
for (let repeat = 0; repeat <= repeats; ++repeat) {
  await sequence.clearHistory();
  let start = performance.now();
  await sequence.evaluateWithoutGeneratingNewTokens(ids(prompt));
  const filled = (1000 * prompt) / (performance.now() - start);
  await sequence.clearHistory();
  let count = -1;  // the first token ends the prompt
  for await (const _ of sequence.evaluate(ids(1), { temperature: 0, yieldEogToken: true })) {
    if (count < 0) start = performance.now();
    if (++count === tokens) break;
  }
  if (repeat === 0) continue;  // warm-up
  prefill.push(filled);
  if (count > 0) decode.push((1000 * count) / (performance.now() - start));
}
console.log(JSON.stringify({ prefill: median(prefill), decode: decode.length ? median(decode) : null }));
process.exit(0);
