// Ctrl+K: begin something, or find a conversation, without the mouse.
import { useLayoutEffect, useRef, useState } from 'preact/hooks';

import { matches } from './conversation';
import { Icon, type IconName } from './icons';
import { by_time } from './sidebar';
import { go, new_chat, set, set_now, set_theme, state, use_state } from './state';

interface Entry {
  icon: IconName;
  label: string;
  run: () => void;
}

function commands(): Entry[] {
  const dark = document.documentElement.dataset['theme'] === 'dark';
  return [
    { icon: 'plus', label: 'New conversation', run: new_chat },
    { icon: 'sliders', label: 'Settings of this conversation', run: () => set({ settings_open: true }) },
    { icon: 'machine', label: 'Model and machine', run: () => go('machine') },
    { icon: dark ? 'sun' : 'moon', label: dark ? 'Light looks' : 'Dark looks', run: () => set_theme(dark ? 'light' : 'dark') },
  ];
}

export function Palette() {
  const { conversations } = use_state();
  const [query, set_query] = useState('');
  const [at, set_at] = useState(0);
  const dialog = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => dialog.current?.showModal(), []);

  const wanted = query.toLowerCase();
  const entries: Entry[] = [
    ...commands().filter((entry) => entry.label.toLowerCase().includes(wanted)),
    ...by_time(conversations.values())
      .filter((one) => matches(one, query))
      .slice(0, 30)
      .map((one): Entry => ({ icon: 'right', label: one.title || 'Untitled', run: () => go(`c/${one.id}`) })),
  ];
  const picked = Math.min(at, entries.length - 1);
  const run = (entry: Entry | undefined) => {
    if (!entry) return;
    dialog.current?.close();
    entry.run();
  };
  const step = (by: number) => {
    const next = (picked + by + entries.length) % entries.length;
    set_at(next);
    document.getElementById(`palette-${next}`)?.scrollIntoView({ block: 'nearest' });
  };
  return (
    <dialog
      class="palette"
      ref={dialog}
      aria-label="Find or begin"
      onClose={() => set({ palette_open: false })}
      onClick={(event) => event.target === dialog.current && dialog.current?.close()}
    >
      <label class="search">
        <Icon name="search" />
        <span class="hidden">Find a conversation or a command</span>
        <input
          role="combobox"
          aria-expanded="true"
          aria-controls="palette-list"
          aria-activedescendant={`palette-${picked}`}
          placeholder="Find a conversation, or begin something"
          value={query}
          autofocus
          onInput={(event) => {
            set_query(event.currentTarget.value);
            set_at(0);
          }}
          onKeyDown={(event) => {
            if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
              event.preventDefault();
              step(event.key === 'ArrowDown' ? 1 : -1);
            } else if (event.key === 'Enter') {
              event.preventDefault();
              run(entries[picked]);
            }
          }}
        />
      </label>
      <ul id="palette-list" role="listbox" aria-label="Found">
        {entries.map((entry, i) => (
          <li
            key={i}
            id={`palette-${i}`}
            role="option"
            aria-selected={i === picked}
            onClick={() => run(entry)}
            onMouseMove={() => i !== picked && set_at(i)}
          >
            <Icon name={entry.icon} /> {entry.label}
          </li>
        ))}
        {entries.length === 0 && <li class="empty">Nothing found.</li>}
      </ul>
    </dialog>
  );
}

export function global_keys(event: KeyboardEvent): void {
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'k') {
    event.preventDefault();
    set_now({ palette_open: !state.palette_open });
  }
}
