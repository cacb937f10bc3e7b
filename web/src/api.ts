// The server, as the page talks to it: only paths of its own address.
import { type Conversation, type ToolCall, type Turn, type Usage } from './conversation';
import { EventReader } from './sse';
import { media_url } from './storage';

// A piece of an answer, in the order they come.
export type Piece =
  | { kind: 'progress'; done: number; total: number }
  | { kind: 'reasoning'; text: string }
  | { kind: 'content'; text: string }
  | { kind: 'call'; index: number; id?: string; name?: string; text: string }
  | { kind: 'finish'; reason: string }
  | { kind: 'usage'; usage: Usage; model: string };

export class ApiError extends Error {
  constructor(
    readonly status: number, // 0: no answer at all
    message: string,
  ) {
    super(message);
  }
}

export interface MemoryPlan {
  weights: number;
  kv_pages: number;
  snapshots: number;
  recurrent: number;
  workspace: number;
  tokenizer: number;
  other: number;
  total: number;
  limit: number; // of all conversations and kept prefixes together
  on_disk: number;
}

export interface EngineInfo {
  template: string;
  template_note: string;
  weight_types: string;
  isa: string;
  cpu: string;
  threads: number;
  parameters: number;
  context: number;
  vocabulary: number;
  layers: number;
  attention_layers: number;
  hidden: number;
  experts: number;
  vision: boolean;
  drafting: boolean;
  memory: MemoryPlan;
  stats: Record<
    | 'requests' | 'running' | 'waiting' | 'prompt_tokens' | 'reused_tokens' | 'generated_tokens'
    | 'pages_total' | 'pages_used' | 'snapshots' | 'snapshot_bytes'
    | 'reuse_whole' | 'reuse_unknown' | 'reuse_diverged' | 'reuse_no_snapshot' | 'prefill_seconds' | 'decode_seconds',
    number
  >;
}

export interface ModelState {
  id: string;
  loaded: boolean;
  engine?: EngineInfo;
}

// GET /info; the first model is the default.
export interface ServerInfo {
  started: number;
  machine: { processors: number; memory_bytes: number };
  models: ModelState[];
}

const KEY_NAME = 'godwit.api_key';

export function api_key(): string {
  return localStorage.getItem(KEY_NAME) ?? '';
}
export function set_api_key(key: string): void {
  if (key) localStorage.setItem(KEY_NAME, key);
  else localStorage.removeItem(KEY_NAME);
}

function headers(): Record<string, string> {
  const key = api_key();
  return key ? { authorization: `Bearer ${key}` } : {};
}

async function request(url: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, { ...init, headers: { ...headers(), ...init.headers } });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new ApiError(0, 'The server does not answer. Is godwit serve still running?');
  }
  if (!response.ok) throw new ApiError(response.status, await error_text(response));
  return response;
}

async function error_text(response: Response): Promise<string> {
  const body = await response.text();
  try {
    const message = (JSON.parse(body) as { error?: { message?: string } }).error?.message;
    if (message) return message;
  } catch {
    // Not JSON: the status has to do.
  }
  return `The server answered ${response.status} ${response.statusText}`.trim();
}

export async function server_info(): Promise<ServerInfo> {
  return (await (await request('/info')).json()) as ServerInfo;
}

// The request's body for the answer that follows `turns`.
export async function chat_body(conversation: Conversation, turns: Turn[]): Promise<Record<string, unknown>> {
  const settings = conversation.settings;
  const messages: unknown[] = [];
  if (settings.system.trim()) messages.push({ role: 'system', content: settings.system });
  for (const turn of turns) messages.push(await message_of(turn));
  const body: Record<string, unknown> = {
    model: settings.model,
    messages,
    stream: true,
    stream_options: { include_usage: true, include_progress: true },
  };
  const tools = read_tools(settings.tools);
  if (tools.length > 0) body['tools'] = tools;
  if (settings.thinking !== 'auto')
    body['chat_template_kwargs'] = { enable_thinking: settings.thinking === 'on' };
  if (settings.thinking !== 'off' && settings.thinking_budget !== null)
    body['thinking_budget'] = settings.thinking_budget;
  for (const name of ['temperature', 'top_p', 'top_k', 'min_p', 'presence_penalty', 'max_tokens', 'seed'] as const) {
    if (settings[name] !== null) body[name] = settings[name];
  }
  return body;
}

async function message_of(turn: Turn): Promise<unknown> {
  if (turn.role === 'tool') return { role: 'tool', tool_call_id: turn.call_id, content: turn.content };
  if (turn.role === 'assistant') {
    const message: Record<string, unknown> = { role: 'assistant', content: turn.content };
    if (turn.reasoning) message['reasoning_content'] = turn.reasoning;
    if (turn.calls?.length) {
      message['tool_calls'] = turn.calls.map((call) => ({
        id: call.id,
        type: 'function',
        function: { name: call.name, arguments: call.arguments || '{}' },
      }));
    }
    return message;
  }
  if (!turn.media?.length) return { role: 'user', content: turn.content };
  const parts: unknown[] = [];
  for (const media of turn.media) {
    const url = await media_url(media.id);
    if (!url) throw new ApiError(0, `The file ${media.name} is no longer kept in this browser.`);
    parts.push(
      media.kind === 'image'
        ? { type: 'image_url', image_url: { url } }
        : { type: 'video_url', video_url: { url } },
    );
  }
  if (turn.content) parts.push({ type: 'text', text: turn.content });
  return { role: 'user', content: parts };
}

// The tools editor's text; throws with a plain message if it is no list of tools.
export function read_tools(text: string): unknown[] {
  if (text.trim() === '') return [];
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Error(`Not JSON: ${(error as Error).message}`);
  }
  if (!Array.isArray(value)) throw new Error('Expected a list: [ {"type": "function", …} ]');
  return value.map((tool: unknown, i) => {
    const from = tool as { type?: string; function?: { name?: unknown }; name?: unknown } | null;
    const wrapped = from?.function ? from : { type: 'function', function: from };
    if (typeof wrapped?.function?.name !== 'string') throw new Error(`Tool ${i + 1} has no function name`);
    return wrapped;
  });
}

interface Chunk {
  model?: string;
  error?: { message?: string };
  godwit?: { prompt_progress?: { done: number; total: number } };
  choices?: {
    delta?: {
      content?: string | null;
      reasoning_content?: string | null;
      tool_calls?: { index: number; id?: string; function?: { name?: string; arguments?: string } }[];
    };
    finish_reason?: string | null;
  }[];
  usage?: RawUsage | null;
}

interface RawUsage {
  prompt_tokens: number;
  completion_tokens: number;
  prompt_tokens_details?: { cached_tokens?: number };
  completion_tokens_details?: { reasoning_tokens?: number };
  godwit?: {
    reuse_note?: string;
    seed?: number | string;
    timings?: { prefill?: number; decode?: number; first_token?: number };
  };
}

export async function* stream_answer(
  body: Record<string, unknown>,
  signal: AbortSignal,
): AsyncGenerator<Piece> {
  const response = await request('/v1/chat/completions', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal,
  });
  const reader = response.body!.getReader();
  const events = new EventReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) throw new ApiError(0, 'The connection ended before the answer did.');
    for (const data of events.push(value)) {
      if (data === '[DONE]') return;
      yield* pieces_of(JSON.parse(data) as Chunk, data);
    }
  }
}

function* pieces_of(chunk: Chunk, data: string): Generator<Piece> {
  if (chunk.error) throw new ApiError(0, chunk.error.message ?? 'The answer failed.');
  const progress = chunk.godwit?.prompt_progress;
  if (progress) yield { kind: 'progress', ...progress };
  const choice = chunk.choices?.[0];
  if (choice?.delta?.reasoning_content) yield { kind: 'reasoning', text: choice.delta.reasoning_content };
  if (choice?.delta?.content) yield { kind: 'content', text: choice.delta.content };
  for (const call of choice?.delta?.tool_calls ?? []) {
    yield {
      kind: 'call',
      index: call.index,
      id: call.id,
      name: call.function?.name,
      text: call.function?.arguments ?? '',
    };
  }
  if (choice?.finish_reason) yield { kind: 'finish', reason: choice.finish_reason };
  if (chunk.usage) yield { kind: 'usage', usage: read_usage(chunk.usage, data), model: chunk.model ?? '' };
}

function read_usage(raw: RawUsage, data: string): Usage {
  const timings = raw.godwit?.timings ?? {};
  return {
    prompt_tokens: raw.prompt_tokens,
    completion_tokens: raw.completion_tokens,
    reused_tokens: raw.prompt_tokens_details?.cached_tokens ?? 0,
    reasoning_tokens: raw.completion_tokens_details?.reasoning_tokens ?? 0,
    reuse_note: raw.godwit?.reuse_note ?? '',
    prefill_seconds: timings.prefill ?? 0,
    decode_seconds: timings.decode ?? 0,
    first_token_seconds: timings.first_token ?? 0,
    // 64 bits: as it is written, not as a JavaScript number.
    seed: /"seed":\s*"?(\d+)/.exec(data)?.[1] ?? '',
  };
}

// Adds a piece of a call's name or arguments.
export function merge_call(calls: ToolCall[], piece: Piece & { kind: 'call' }): ToolCall[] {
  const merged = [...calls];
  const call = merged[piece.index] ?? { id: '', name: '', arguments: '' };
  merged[piece.index] = {
    id: piece.id ?? call.id,
    name: piece.name ?? call.name,
    arguments: call.arguments + piece.text,
  };
  return merged;
}

