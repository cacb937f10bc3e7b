// Thumbnails of pictures and clips; a click shows them whole.
import { useEffect, useRef, useState } from 'preact/hooks';

import type { MediaRef } from './conversation';
import { Icon } from './icons';
import { media_object_url } from './storage';

export function MediaRow({ media, onRemove }: { media: MediaRef[]; onRemove?: (id: string) => void }) {
  const [shown, show] = useState<MediaRef | null>(null);
  return (
    <>
      <ul class="media-row" aria-label="Attached">
        {media.map((one) => (
          <li key={one.id}>
            <button type="button" class="thumbnail" aria-label={`Show ${one.name}`} onClick={() => show(one)}>
              {one.thumbnail ? <img src={one.thumbnail} alt={one.name} /> : <span>{one.name}</span>}
              {one.kind === 'video' && (
                <span class="film">
                  <Icon name="film" />
                </span>
              )}
            </button>
            {onRemove && (
              <button type="button" class="remove" aria-label={`Remove ${one.name}`} onClick={() => onRemove(one.id)}>
                <Icon name="close" />
              </button>
            )}
          </li>
        ))}
      </ul>
      {shown && <Viewer media={shown} close={() => show(null)} />}
    </>
  );
}

function Viewer({ media, close }: { media: MediaRef; close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [url, set_url] = useState('');
  useEffect(() => {
    dialog.current?.showModal();
    let made: string | null = null;
    void media_object_url(media.id).then((found) => set_url((made = found) ?? ''));
    return () => void (made && URL.revokeObjectURL(made));
  }, [media.id]);
  return (
    <dialog class="viewer" ref={dialog} onClose={close} onClick={() => dialog.current?.close()} aria-label={media.name}>
      {url && media.kind === 'image' && <img src={url} alt={media.name} />}
      {url && media.kind === 'video' && <video src={url} controls autoplay loop muted />}
      <p>{media.name}</p>
      <button class="quiet" aria-label="Close" onClick={() => dialog.current?.close()}>
        <Icon name="close" />
      </button>
    </dialog>
  );
}
