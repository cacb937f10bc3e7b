// Line icons on a grid of 24, and the bird.
const PATHS = {
  plus: 'M12 5v14M5 12h14',
  search: 'M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM20 20l-4-4',
  menu: 'M4 7h16M4 12h16M4 17h10',
  close: 'M6 6l12 12M18 6L6 18',
  send: 'M12 19V5M6 11l6-6 6 6',
  stop: 'M7.5 7.5h9v9h-9z',
  attach: 'M20 11.5l-8 8a5 5 0 0 1-7-7l8.5-8.5a3.4 3.4 0 0 1 4.8 4.8L9.8 17.3a1.7 1.7 0 0 1-2.4-2.4l7.6-7.6',
  copy: 'M9 9h11v11H9zM5 15H4V4h11v1',
  check: 'M5 12.5l4.5 4.5L19 7.5',
  edit: 'M4 20h4L19 9l-4-4L4 16zM13.5 6.5l4 4',
  retry: 'M19 8a8 8 0 1 0 1 6M20 4v5h-5',
  branch: 'M6 4v16M6 12c0-3 12-1 12-6M18 6V4M16 6l2-2 2 2',
  trash: 'M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13',
  download: 'M12 4v11M7 11l5 5 5-5M5 20h14',
  upload: 'M12 16V5M7 9l5-5 5 5M5 20h14',
  sliders: 'M4 7h10M18 7h2M4 17h2M10 17h10M16 5v4M8 15v4',
  left: 'M14 6l-6 6 6 6',
  right: 'M10 6l6 6-6 6',
  down: 'M6 10l6 6 6-6',
  tool: 'M14.5 6.5a4 4 0 0 0 5 5L11 20l-4-4 8.5-8.5M14.5 6.5a4 4 0 0 1 4-2.5l-2 2.5 1 1 2.5-2a4 4 0 0 1-.5 6',
  thought: 'M9 18h6M10 21h4M12 3a6 6 0 0 0-3.5 10.9c.9.7 1 1.3 1 2.1h5c0-.8.1-1.4 1-2.1A6 6 0 0 0 12 3z',
  machine: 'M7 7h10v10H7zM10 3v4M14 3v4M10 17v4M14 17v4M3 10h4M3 14h4M17 10h4M17 14h4',
  sun: 'M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.4 1.4M17.6 17.6L19 19M5 19l1.4-1.4M17.6 6.4L19 5',
  moon: 'M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5z',
  auto: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 3v18M12 8h7.5M12 13h8.8M12 18h5.5',
  more: 'M6 12h.01M12 12h.01M18 12h.01',
  film: 'M4 5h16v14H4zM8 5v14M16 5v14M4 9.7h4M4 14.3h4M16 9.7h4M16 14.3h4',
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}

// A bar-tailed godwit on the mud: long bill, a little upturned, and long legs.
export function Bird({ size }: { size: number }) {
  return (
    <svg class="bird" width={size} height={size} viewBox="0 0 72 66" aria-hidden="true">
      <path class="bird-legs" d="M27.5 42 26 61M34 41 36.5 61M22.5 61h6.500M33 61h6.5" />
      <path
        class="bird-body"
        d="M3.5 32C10 30 13.5 26 20 24c5.5-1.7 10.5-1 14-3.2 3-1.9 3-5.3 4.6-7.7 1.8-2.7 5-3.7 7.7-2.3 1.9 1 2.7 2.7 2.9 4.5 7.3-.2 13.8-1.2 20.6-4.7-6.3 5.1-13.3 7.2-20.9 7.4-1.3 2.5-3 4-3.9 6.9-1.4 4.7-1.2 9.7-5.5 14-4 4-10 5.4-15.5 4.100C16.5 41.2 12.5 36 3.5 32z"
      />
      <path class="bird-wing" d="M10.5 33.600c6.5-1.7 9-5 14.5-5.9 4-.6 7 .2 9.5 1.9-2.5 4.9-7.5 7.6-13 7.2-4.3-.3-7.3-1.8-11-3.200z" />
      <circle class="bird-eye" cx="44.7" cy="14.3" r="1.1" />
    </svg>
  );
}
