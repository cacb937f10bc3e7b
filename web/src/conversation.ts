// A conversation is a tree of turns: editing and retrying add a sibling, and at each fork one child
// is the chosen one. Pure functions over plain data, which IndexedDB and the export keep as it is.

export interface ToolCall {
  id: string;
  name: string;
  arguments: string; // JSON, as it came
}

export interface MediaRef {
  id: string; // in the media store
  kind: 'image' | 'video';
  name: string;
  thumbnail: string; // a small data: URL
}

// What the server tells at the end of an answer.
export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  reused_tokens: number;
  reasoning_tokens: number;
  reuse_note: string;
  prefill_seconds: number;
  decode_seconds: number;
  first_token_seconds: number;
  seed: string;
}

// What was seen of an answer that was stopped: the server tells nothing of it.
export interface Seen {
  tokens: number;
  seconds: number; // between its first and its last
  prompt: number; // tokens; 0: not known
  prompt_read: number;
}

export interface Turn {
  id: string;
  parent: string | null;
  role: 'user' | 'assistant' | 'tool';
  created: number;
  content: string;
  media?: MediaRef[];
  reasoning?: string;
  thinking_ms?: number;
  calls?: ToolCall[];
  call_id?: string; // role tool: what this is the result of
  model?: string;
  finish?: string; // stop, length, tool_calls, or stopped (by hand)
  error?: string;
  usage?: Usage;
  seen?: Seen; // if it was stopped
}

export type Thinking = 'auto' | 'on' | 'off';

export interface Settings {
  model: string; // empty: the server's default
  system: string;
  tools: string; // JSON text of a list; empty: none
  thinking: Thinking;
  thinking_budget: number | null;
  temperature: number | null;
  top_p: number | null;
  top_k: number | null;
  min_p: number | null;
  presence_penalty: number | null;
  max_tokens: number | null;
  seed: number | null;
}

export const DEFAULT_SETTINGS: Settings = {
  model: '',
  system: '',
  tools: '',
  thinking: 'auto',
  thinking_budget: null,
  temperature: null,
  top_p: null,
  top_k: null,
  min_p: null,
  presence_penalty: null,
  max_tokens: null,
  seed: null,
};

export interface Conversation {
  id: string;
  title: string;
  created: number;
  updated: number;
  settings: Settings;
  turns: Record<string, Turn>;
  chosen: Record<string, string>; // parent's id, or "" for the first turn → child
}

export function new_id(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

export function empty_conversation(settings: Settings): Conversation {
  const now = Date.now();
  return { id: new_id(), title: '', created: now, updated: now, settings, turns: {}, chosen: {} };
}

export function children(conversation: Conversation, parent: string | null): Turn[] {
  return Object.values(conversation.turns)
    .filter((turn) => turn.parent === parent)
    .sort((a, b) => a.created - b.created || (a.id < b.id ? -1 : 1));
}

// From the first turn to the last along the chosen children.
export function path(conversation: Conversation): Turn[] {
  const turns: Turn[] = [];
  let parent: string | null = null;
  for (;;) {
    const chosen: Turn | undefined = conversation.turns[conversation.chosen[parent ?? ''] ?? ''];
    const next: Turn | undefined = chosen?.parent === parent ? chosen : children(conversation, parent).at(-1);
    if (!next || turns.includes(next)) return turns;
    turns.push(next);
    parent = next.id;
  }
}

export function last_turn(conversation: Conversation): Turn | undefined {
  return path(conversation).at(-1);
}

export function add_turn(conversation: Conversation, turn: Turn): Conversation {
  return {
    ...conversation,
    updated: Date.now(),
    turns: { ...conversation.turns, [turn.id]: turn },
    chosen: { ...conversation.chosen, [turn.parent ?? '']: turn.id },
  };
}

export function change_turn(conversation: Conversation, id: string, change: Partial<Turn>): Conversation {
  const turn = conversation.turns[id];
  if (!turn) return conversation;
  return { ...conversation, turns: { ...conversation.turns, [id]: { ...turn, ...change } } };
}

export function choose(conversation: Conversation, turn: Turn): Conversation {
  return { ...conversation, chosen: { ...conversation.chosen, [turn.parent ?? '']: turn.id } };
}

// The path up to and with `last`, as a conversation of its own.
export function copy_until(conversation: Conversation, last: string): Conversation {
  let copy = empty_conversation(conversation.settings);
  copy.title = conversation.title;
  for (const turn of path(conversation)) {
    copy = add_turn(copy, turn);
    if (turn.id === last) break;
  }
  return copy;
}

// Calls of the last answer that no result stands for yet.
export function open_calls(turns: Turn[]): ToolCall[] {
  let index = turns.length - 1;
  const answered = new Set<string>();
  for (; index >= 0 && turns[index]!.role === 'tool'; --index) answered.add(turns[index]!.call_id ?? '');
  const answer = turns[index];
  if (answer?.role !== 'assistant') return [];
  return (answer.calls ?? []).filter((call) => !answered.has(call.id));
}

export function title_from(text: string): string {
  const line = text.trim().split('\n')[0]!.trim();
  if (line.length <= 52) return line;
  const cut = line.slice(0, 52);
  return `${cut.slice(0, Math.max(cut.lastIndexOf(' '), 30))}…`;
}

export function matches(conversation: Conversation, query: string): boolean {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return true;
  const text = [conversation.title, ...Object.values(conversation.turns).map((turn) => turn.content)]
    .join('\n')
    .toLowerCase();
  return words.every((word) => text.includes(word));
}

// A conversation from a file: every field is looked at, since anyone may have written it.
export function read_exported(value: unknown): Conversation | null {
  const from = value as Partial<Conversation> | null;
  if (typeof from !== 'object' || !from || typeof from.turns !== 'object' || !from.turns) return null;
  let conversation = empty_conversation(read_settings(from.settings));
  conversation.title = text_or(from.title, 'Imported').slice(0, 200);
  for (const raw of Object.values(from.turns as Record<string, unknown>)) {
    const turn = read_turn(raw);
    if (turn) conversation.turns[turn.id] = turn;
  }
  for (const turn of Object.values(conversation.turns)) {
    if (turn.parent !== null && !conversation.turns[turn.parent]) return null;
  }
  for (const [parent, child] of Object.entries(from.chosen ?? {})) {
    const turn = conversation.turns[String(child)];
    if (turn && (turn.parent ?? '') === parent) conversation = choose(conversation, turn);
  }
  return conversation;
}

function text_or(value: unknown, otherwise: string): string {
  return typeof value === 'string' ? value : otherwise;
}

export function read_settings(value: unknown): Settings {
  const from = (typeof value === 'object' && value ? value : {}) as Record<string, unknown>;
  const settings: Settings = { ...DEFAULT_SETTINGS };
  for (const key of ['model', 'system', 'tools'] as const) settings[key] = text_or(from[key], '');
  if (from['thinking'] === 'on' || from['thinking'] === 'off') settings.thinking = from['thinking'];
  for (const key of [
    'thinking_budget', 'temperature', 'top_p', 'top_k', 'min_p', 'presence_penalty', 'max_tokens', 'seed',
  ] as const) {
    const number = from[key];
    if (typeof number === 'number' && Number.isFinite(number)) settings[key] = number;
  }
  return settings;
}

function read_turn(value: unknown): Turn | null {
  const from = value as Partial<Turn> | null;
  if (typeof from !== 'object' || !from || typeof from.id !== 'string') return null;
  if (from.role !== 'user' && from.role !== 'assistant' && from.role !== 'tool') return null;
  const turn: Turn = {
    id: from.id,
    parent: typeof from.parent === 'string' ? from.parent : null,
    role: from.role,
    created: typeof from.created === 'number' ? from.created : Date.now(),
    content: text_or(from.content, ''),
  };
  if (typeof from.reasoning === 'string') turn.reasoning = from.reasoning;
  if (typeof from.thinking_ms === 'number') turn.thinking_ms = from.thinking_ms;
  if (typeof from.call_id === 'string') turn.call_id = from.call_id;
  if (typeof from.model === 'string') turn.model = from.model;
  if (Array.isArray(from.media)) {
    turn.media = from.media
      .filter((media): media is MediaRef => typeof media?.id === 'string')
      .map(({ id, kind, name }) => ({
        id,
        kind: kind === 'video' ? 'video' : 'image',
        name: text_or(name, 'file'),
        thumbnail: '',
      }));
  }
  if (Array.isArray(from.calls)) {
    turn.calls = from.calls
      .filter((call): call is ToolCall => typeof call?.id === 'string')
      .map((call) => ({ id: call.id, name: text_or(call.name, ''), arguments: text_or(call.arguments, '') }));
  }
  turn.finish = text_or(from.finish, 'stop');
  return turn;
}
