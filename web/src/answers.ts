// Asking: sends what the path holds and grows the answer's turn from the stream; stopping,
// retrying, editing, and giving a tool's result by hand.
import { ApiError, chat_body, merge_call, stream_answer, type Piece } from './api';
import {
  add_turn,
  change_turn,
  children,
  choose,
  new_id,
  open_calls,
  path,
  title_from,
  type Conversation,
  type MediaRef,
  type Seen,
  type Turn,
} from './conversation';
import { announce, changed, current_conversation, ensure_conversation, put, save, set, state, type Live } from './state';
import { add_speed, type Speed } from './storage';

function fresh_turn(role: Turn['role'], parent: string | null, content: string): Turn {
  return { id: new_id(), parent, role, created: Date.now(), content };
}

export function send(text: string, media: MediaRef[]): void {
  let conversation = ensure_conversation();
  if (state.live.has(conversation.id)) return;
  const turn = fresh_turn('user', path(conversation).at(-1)?.id ?? null, text.trim());
  if (media.length > 0) turn.media = media;
  if (!conversation.title) conversation = { ...conversation, title: title_from(text) || media[0]?.name || '' };
  conversation = add_turn(conversation, turn);
  put(conversation);
  void answer(conversation, turn.id);
}

export function stop(): void {
  state.live.get(state.current)?.abort.abort();
}

// Another answer beside this one.
export function retry(turn: Turn): void {
  const conversation = current_conversation();
  if (conversation && !state.live.has(conversation.id) && turn.parent) void answer(conversation, turn.parent);
}

// A question is asked anew; an answer is kept as corrected. Both leave the old one beside it.
export function edit(turn: Turn, text: string): void {
  let conversation = current_conversation();
  if (!conversation || state.live.has(conversation.id)) return;
  const edited: Turn = { ...turn, id: new_id(), created: Date.now(), content: text.trim() };
  delete edited.usage;
  delete edited.seen;
  delete edited.error;
  if (turn.role === 'assistant') edited.finish = 'edited';
  conversation = add_turn(conversation, edited);
  put(conversation);
  if (turn.role === 'user') void answer(conversation, edited.id);
}

export function other_branch(turn: Turn, step: number): void {
  const conversation = current_conversation();
  if (!conversation) return;
  const siblings = children(conversation, turn.parent);
  const next = siblings[siblings.findIndex((one) => one.id === turn.id) + step];
  if (next) put(choose(conversation, next));
}

// The results of all open calls, in their order; then the model goes on.
export function give_results(results: string[]): void {
  let conversation = current_conversation();
  if (!conversation || state.live.has(conversation.id)) return;
  const turns = path(conversation);
  let parent = turns.at(-1)!.id;
  open_calls(turns).forEach((call, i) => {
    const turn: Turn = { ...fresh_turn('tool', parent, results[i] ?? ''), call_id: call.id };
    conversation = add_turn(conversation!, turn);
    parent = turn.id;
  });
  put(conversation);
  void answer(conversation, parent);
}

async function answer(asked: Conversation, parent: string): Promise<void> {
  const turn = fresh_turn('assistant', parent, '');
  const id = asked.id;
  const live: Live = {
    turn: turn.id,
    abort: new AbortController(),
    started: performance.now(),
    prompt_done: 0,
    prompt_total: 0,
    pieces: 0,
    first_piece: 0,
    last_piece: 0,
    thinking_since: 0,
  };
  const turns = path_to(asked, parent);
  put(add_turn(asked, turn));
  state.live.set(id, live);
  announce('Answering');
  const change = (part: Partial<Turn>) => {
    const conversation = state.conversations.get(id);
    if (conversation) put(change_turn(conversation, turn.id, part));
  };
  const now = () => state.conversations.get(id)?.turns[turn.id] ?? turn;
  try {
    const body = await chat_body(asked, turns);
    for await (const piece of stream_answer(body, live.abort.signal)) take(piece, live, now(), change);
    announce(now().calls?.length ? 'The model calls a tool' : `Answer: ${now().content.slice(0, 600)}`);
  } catch (error) {
    if (live.abort.signal.aborted) change({ finish: 'stopped', seen: seen(live), ...thought(live, now()) });
    else change({ error: (error as Error).message, finish: 'error', ...thought(live, now()) });
    if (error instanceof ApiError && error.status === 401) set({ needs_key: true });
    announce(live.abort.signal.aborted ? 'Stopped' : `The answer failed: ${(error as Error).message}`);
  } finally {
    state.live.delete(id);
    changed();
    void save();
  }
}

function path_to(conversation: Conversation, last: string): Turn[] {
  const turns: Turn[] = [];
  for (let turn = conversation.turns[last]; turn; turn = conversation.turns[turn.parent ?? '']) turns.unshift(turn);
  return turns;
}

function seen(live: Live): Seen {
  const seconds = (live.last_piece - live.first_piece) / 1000;
  return { tokens: live.pieces, seconds, prompt: live.prompt_total, prompt_read: live.prompt_done };
}

// How long the thought took, once it is over.
function thought(live: Live, turn: Turn): Partial<Turn> {
  if (!live.thinking_since || turn.thinking_ms !== undefined) return {};
  return { thinking_ms: Math.round(performance.now() - live.thinking_since) };
}

function take(piece: Piece, live: Live, turn: Turn, change: (part: Partial<Turn>) => void): void {
  const time = performance.now();
  if (piece.kind === 'progress') {
    live.prompt_done = piece.done;
    live.prompt_total = piece.total;
    return changed();
  }
  if (piece.kind === 'usage') {
    change({ usage: piece.usage, model: piece.model });
    return keep_speed(piece);
  }
  if (piece.kind === 'finish') return change({ finish: piece.reason, ...thought(live, turn) });
  ++live.pieces;
  live.first_piece ||= time;
  live.last_piece = time;
  if (piece.kind === 'reasoning') {
    live.thinking_since ||= time;
    return change({ reasoning: (turn.reasoning ?? '') + piece.text });
  }
  if (piece.kind === 'content') return change({ content: turn.content + piece.text, ...thought(live, turn) });
  if (piece.kind === 'call') change({ calls: merge_call(turn.calls ?? [], piece), ...thought(live, turn) });
}

function keep_speed({ usage, model }: Piece & { kind: 'usage' }): void {
  const speed: Speed = {
    at: Date.now(),
    model,
    context: usage.prompt_tokens + usage.completion_tokens,
    computed: usage.prompt_tokens - usage.reused_tokens,
    generated: usage.completion_tokens,
    prefill_seconds: usage.prefill_seconds,
    decode_seconds: usage.decode_seconds,
  };
  if (usage.completion_tokens === 0) return;
  set({ speeds: [...state.speeds, speed] });
  void add_speed(speed).catch(() => undefined);
}
