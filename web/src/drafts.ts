// What is written but not sent, by conversation ("" for the one that is not begun): kept in the
// browser, so that a reload loses nothing. A key for each, so that tabs leave each other's alone.
import type { MediaRef } from './conversation';

export interface Draft {
  text: string;
  media: MediaRef[];
}

const PREFIX = 'godwit.draft.';
const EMPTY: Draft = { text: '', media: [] };

const drafts = new Map<string, Draft>();

function stored(id: string): Draft {
  try {
    const found = JSON.parse(localStorage.getItem(PREFIX + id) ?? 'null') as Partial<Draft> | null;
    return { text: String(found?.text ?? ''), media: Array.isArray(found?.media) ? found.media : [] };
  } catch {
    return EMPTY;
  }
}

export function draft_of(id: string): Draft {
  let draft = drafts.get(id);
  if (!draft) drafts.set(id, (draft = stored(id)));
  return draft;
}

export function set_draft(id: string, draft: Draft): void {
  drafts.set(id, draft);
  try {
    if (draft.text === '' && draft.media.length === 0) localStorage.removeItem(PREFIX + id);
    else localStorage.setItem(PREFIX + id, JSON.stringify(draft));
  } catch {
    // No room: it lives as long as this tab.
  }
}

export const forget_draft = (id: string): void => set_draft(id, EMPTY);

// The conversations that have one.
export function draft_ids(): string[] {
  return Object.keys(localStorage)
    .filter((key) => key.startsWith(PREFIX))
    .map((key) => key.slice(PREFIX.length));
}
