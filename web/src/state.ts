// The page's state and everything that changes it. Components read `state` and are drawn again when
// it is told to have changed; conversations are replaced, never written into.
import { useLayoutEffect, useState } from 'preact/hooks';

import { server_info, type ServerInfo } from './api';
import { ApiError } from './api';
import {
  DEFAULT_SETTINGS,
  copy_until,
  empty_conversation,
  read_exported,
  read_settings,
  type Conversation,
  type MediaRef,
  type Settings,
} from './conversation';
import { draft_ids, draft_of, forget_draft } from './drafts';
import {
  add_media,
  all_conversations,
  all_speeds,
  delete_conversation,
  media_url,
  put_conversation,
  sweep_media,
  type Speed,
} from './storage';

export type Theme = 'system' | 'light' | 'dark';

// An answer under way.
export interface Live {
  turn: string; // the turn that grows
  abort: AbortController;
  started: number; // performance.now()
  prompt_done: number;
  prompt_total: number; // 0: not known yet
  pieces: number;
  first_piece: number; // 0: none yet
  last_piece: number;
  thinking_since: number;
}

export interface Notice {
  text: string;
  action?: { label: string; run: () => void };
}

interface State {
  ready: boolean;
  conversations: Map<string, Conversation>;
  current: string; // a conversation's id, "" for the empty page
  view: 'chat' | 'machine';
  draft_settings: Settings; // of the conversation that is not begun yet
  live: Map<string, Live>; // by conversation
  info: ServerInfo | null;
  info_error: string;
  needs_key: boolean;
  speeds: Speed[];
  theme: Theme;
  sidebar_open: boolean; // phone
  settings_open: boolean;
  palette_open: boolean;
  notice: Notice | null;
  announcement: string; // for screen readers
}

const DEFAULTS_KEY = 'godwit.defaults';
const THEME_KEY = 'godwit.theme';

function stored_defaults(): Settings {
  try {
    return read_settings(JSON.parse(localStorage.getItem(DEFAULTS_KEY) ?? 'null'));
  } catch {
    return { ...DEFAULT_SETTINGS };
  }
}

export const state: State = {
  ready: false,
  conversations: new Map(),
  current: '',
  view: 'chat',
  draft_settings: stored_defaults(),
  live: new Map(),
  info: null,
  info_error: '',
  needs_key: false,
  speeds: [],
  theme: (localStorage.getItem(THEME_KEY) as Theme | null) ?? 'system',
  sidebar_open: false,
  settings_open: false,
  palette_open: false,
  notice: null,
  announcement: '',
};

const listeners = new Set<() => void>();
let frame = 0;

// Many changes in one frame are one drawing. Hidden pages draw no frames: there a timer does.
export function changed(): void {
  if (frame) return;
  const draw = () => {
    frame = 0;
    for (const listener of listeners) listener();
  };
  frame = document.hidden ? window.setTimeout(draw, 200) : requestAnimationFrame(draw);
}

// What takes the next key press has to be there at once.
export function set_now(change: Partial<State>): void {
  Object.assign(state, change);
  for (const listener of listeners) listener();
}

export function set(change: Partial<State>): void {
  Object.assign(state, change);
  changed();
}

export function use_state(): State {
  const [, redraw] = useState(0);
  // Before the browser goes on: a change between drawing and listening would be lost.
  useLayoutEffect(() => {
    const listener = () => redraw((n) => n + 1);
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }, []);
  return state;
}

export function announce(text: string): void {
  set({ announcement: text });
}

let notice_timer = 0;
export function notify(text: string, action?: Notice['action']): void {
  clearTimeout(notice_timer);
  set({ notice: { text, action } });
  notice_timer = window.setTimeout(() => set({ notice: null }), 7000);
}

// ---- keeping ----

const unsaved = new Set<string>();
let save_timer = 0;
let saved_at = 0;
const tabs = new BroadcastChannel('godwit');

export function put(conversation: Conversation): void {
  state.conversations.set(conversation.id, conversation);
  unsaved.add(conversation.id);
  // At once, and while an answer grows not more often than that.
  const wait = saved_at + 600 - performance.now();
  if (wait <= 0) void save();
  else save_timer ||= window.setTimeout(() => void save(), wait);
  changed();
}

export async function save(): Promise<void> {
  clearTimeout(save_timer);
  save_timer = 0;
  saved_at = performance.now();
  const ids = [...unsaved];
  unsaved.clear();
  try {
    const found = ids.map((id) => state.conversations.get(id)).filter((one) => one !== undefined);
    await Promise.all(found.map(put_conversation));
    for (const id of ids) tabs.postMessage(id);
  } catch {
    notify('This browser does not let the page keep conversations; they end with this tab.');
  }
}

async function reload_conversations(): Promise<void> {
  const running = new Map([...state.live.keys()].map((id) => [id, state.conversations.get(id)]));
  const all = await all_conversations();
  state.conversations = new Map(all.map((one) => [one.id, running.get(one.id) ?? one]));
  changed();
}

// Answers that were cut by closing the page say so.
function mark_cut(conversation: Conversation): Conversation {
  const turns = { ...conversation.turns };
  for (const turn of Object.values(turns)) {
    if (turn.role === 'assistant' && !turn.finish && !turn.error) turns[turn.id] = { ...turn, finish: 'stopped' };
  }
  return { ...conversation, turns };
}

export async function start(): Promise<void> {
  apply_theme();
  window.addEventListener('hashchange', read_location);
  window.addEventListener('pagehide', () => void save());
  tabs.onmessage = () => void reload_conversations();
  try {
    const all = await all_conversations();
    state.conversations = new Map(all.map((one) => [one.id, mark_cut(one)]));
    state.speeds = await all_speeds();
    for (const id of draft_ids()) if (id !== '' && !state.conversations.has(id)) forget_draft(id);
    const kept = all.flatMap((one) => Object.values(one.turns).flatMap((turn) => turn.media ?? []));
    const drafted = draft_ids().flatMap((id) => draft_of(id).media);
    void sweep_media(new Set([...kept, ...drafted].map((media) => media.id)));
  } catch {
    notify('This browser does not let the page keep conversations; they end with this tab.');
  }
  read_location();
  set({ ready: true });
  await load_info();
}

export async function load_info(): Promise<void> {
  try {
    set({ info: await server_info(), info_error: '', needs_key: false });
  } catch (error) {
    const needs_key = error instanceof ApiError && error.status === 401;
    set({ info_error: (error as Error).message, needs_key });
  }
}

// ---- where we are ----

function read_location(): void {
  const hash = location.hash.slice(1);
  if (hash === 'machine') return set({ view: 'machine', sidebar_open: false });
  const id = hash.startsWith('c/') ? hash.slice(2) : '';
  set({ view: 'chat', current: state.conversations.has(id) ? id : '', sidebar_open: false });
}

export function go(hash: string): void {
  if (location.hash.slice(1) === hash) read_location();
  else location.hash = hash;
}

// Of a link to a place of this page: it leads there also from there, where a browser would do
// nothing and the list would stay open. With a key held down it is the browser's.
export function follow(event: MouseEvent): void {
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  go((event.currentTarget as HTMLAnchorElement).hash.slice(1));
}

export function new_chat(): void {
  state.draft_settings = stored_defaults();
  go('');
  document.getElementById('message')?.focus();
}

export function current_conversation(): Conversation | null {
  return state.conversations.get(state.current) ?? null;
}

export function current_settings(): Settings {
  return current_conversation()?.settings ?? state.draft_settings;
}

export function change_settings(change: Partial<Settings>): void {
  const conversation = current_conversation();
  if (conversation) put({ ...conversation, settings: { ...conversation.settings, ...change } });
  else set({ draft_settings: { ...state.draft_settings, ...change } });
}

export function make_default(): void {
  localStorage.setItem(DEFAULTS_KEY, JSON.stringify(current_settings()));
  notify('New conversations begin with these settings.');
}

// The conversation on the page, begun if there is none.
export function ensure_conversation(): Conversation {
  const conversation = current_conversation();
  if (conversation) return conversation;
  const begun = empty_conversation(state.draft_settings);
  put(begun);
  state.current = begun.id;
  history.replaceState(null, '', `#c/${begun.id}`);
  return begun;
}

// ---- the list ----

export function rename(id: string, title: string): void {
  const conversation = state.conversations.get(id);
  if (conversation && title.trim()) put({ ...conversation, title: title.trim() });
}

export function remove(id: string): void {
  const conversation = state.conversations.get(id);
  if (!conversation) return;
  state.live.get(id)?.abort.abort();
  state.conversations.delete(id);
  void delete_conversation(id).then(() => tabs.postMessage(id));
  if (state.current === id) go('');
  notify(`Deleted “${conversation.title || 'Untitled'}”.`, { label: 'Undo', run: () => put(conversation) });
}

export function branch_off(turn: string): void {
  const conversation = current_conversation();
  if (!conversation) return;
  const copy = copy_until(conversation, turn);
  put(copy);
  go(`c/${copy.id}`);
  notify('Continued in a new conversation; the old one is as it was.');
}

interface ExportFile {
  godwit: 1;
  conversations: Conversation[];
  media: Record<string, string>; // id → data: URL
}

export async function export_conversations(ids: string[]): Promise<void> {
  const file: ExportFile = { godwit: 1, conversations: [], media: {} };
  for (const id of ids) {
    const conversation = state.conversations.get(id);
    if (!conversation) continue;
    file.conversations.push(conversation);
    for (const turn of Object.values(conversation.turns)) {
      for (const { id: media } of turn.media ?? []) file.media[media] ??= (await media_url(media)) ?? '';
    }
  }
  const name = file.conversations.length === 1 ? file.conversations[0]!.title : 'conversations';
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([JSON.stringify(file, null, 1)], { type: 'application/json' }));
  link.download = `${name.replace(/[^\p{L}\p{N}]+/gu, '-').slice(0, 60) || 'conversation'}.godwit.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export async function import_file(file: File): Promise<void> {
  try {
    const data = JSON.parse(await file.text()) as Partial<ExportFile>;
    const list = Array.isArray(data.conversations) ? data.conversations : [];
    let last = '';
    for (const raw of list) {
      const conversation = read_exported(raw);
      if (!conversation) continue;
      for (const turn of Object.values(conversation.turns)) {
        if (turn.media) turn.media = await import_media(turn.media, data.media ?? {});
      }
      put(conversation);
      last = conversation.id;
    }
    if (!last) throw new Error('no conversations in it');
    go(`c/${last}`);
  } catch (error) {
    notify(`${file.name} cannot be imported: ${(error as Error).message}`);
  }
}

async function import_media(refs: MediaRef[], urls: Record<string, string>): Promise<MediaRef[]> {
  const kept: MediaRef[] = [];
  for (const ref of refs) {
    const found = /^data:((?:image|video)\/[\w.+-]+);base64,(.*)$/s.exec(urls[ref.id] ?? '');
    if (!found) continue;
    const bytes = Uint8Array.from(atob(found[2]!), (c) => c.charCodeAt(0));
    kept.push(await add_media(new File([bytes], ref.name, { type: found[1] })));
  }
  return kept;
}

// ---- looks ----

export function apply_theme(): void {
  const dark =
    state.theme === 'dark' || (state.theme === 'system' && matchMedia('(prefers-color-scheme: dark)').matches);
  document.documentElement.dataset['theme'] = dark ? 'dark' : 'light';
  document.querySelector('meta[name=theme-color]')?.setAttribute('content', dark ? '#181614' : '#faf7f2');
}
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', apply_theme);

export function set_theme(theme: Theme): void {
  localStorage.setItem(THEME_KEY, theme);
  set({ theme });
  apply_theme();
}
