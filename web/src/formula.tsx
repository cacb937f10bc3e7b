// A formula as MathML. Temml is a separate file that is fetched (from this server) when the first
// formula is met; until then, and where it finds a mistake, the TeX source is shown.
import { useEffect, useRef, useState } from 'preact/hooks';

type Temml = typeof import('temml').default;
let temml: Temml | null = null;
let loading: Promise<void> | null = null;

function load(): Promise<void> {
  loading ??= import('./temml_bundle').then((module) => {
    temml = module.default;
  });
  return loading;
}

export function Formula({ tex, display }: { tex: string; display: boolean }) {
  const place = useRef<HTMLSpanElement>(null);
  const [ready, set_ready] = useState(temml !== null);
  useEffect(() => {
    if (!ready) {
      void load().then(() => set_ready(true), () => undefined);
      return;
    }
    if (!place.current || !temml) return;
    try {
      // Builds nodes, not HTML. `trust` off: no links, classes or styles from the source.
      temml.render(tex, place.current, {
        displayMode: display,
        trust: false,
        throwOnError: true,
        maxSize: [20, 20],
        maxExpand: 500,
      });
    } catch {
      place.current.textContent = tex;
      place.current.classList.add('formula-source');
    }
  }, [tex, display, ready]);
  // Preact does not look inside: the key makes a new element for a new source.
  return (
    <span
      key={`${tex}${ready}`}
      ref={place}
      class={`formula${display ? ' display' : ''}${ready ? '' : ' formula-source'}`}
      tabIndex={display ? 0 : undefined}
    >
      {ready ? null : tex}
    </span>
  );
}
