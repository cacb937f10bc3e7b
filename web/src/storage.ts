// What the browser keeps: conversations, pictures and clips, and the measured speeds (IndexedDB).
import type { Conversation, MediaRef } from './conversation';
import { new_id } from './conversation';

export interface Speed {
  id?: number;
  at: number;
  model: string;
  context: number; // tokens at the end of the answer
  computed: number; // prompt tokens that were not reused
  generated: number;
  prefill_seconds: number;
  decode_seconds: number;
}

interface StoredMedia {
  id: string;
  blob: Blob;
}

let opened: Promise<IDBDatabase> | null = null;
let database_now: IDBDatabase | null = null;

function database(): Promise<IDBDatabase> {
  opened ??= new Promise((resolve, reject) => {
    const request = indexedDB.open('godwit', 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore('conversations', { keyPath: 'id' });
      request.result.createObjectStore('media', { keyPath: 'id' });
      request.result.createObjectStore('speeds', { keyPath: 'id', autoIncrement: true });
    };
    request.onsuccess = () => resolve((database_now = request.result));
    request.onerror = () => reject(request.error);
  });
  return opened;
}

// Without waiting once the database is open: a page that is being left gets no second turn.
async function run<T>(
  store: string,
  mode: IDBTransactionMode,
  work: (store: IDBObjectStore) => IDBRequest<T>,
): Promise<T> {
  const transaction = (database_now ?? (await database())).transaction(store, mode);
  const request = work(transaction.objectStore(store));
  if (mode === 'readwrite') transaction.commit();
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve(request.result);
    transaction.onerror = () => reject(transaction.error);
    transaction.onabort = () => reject(transaction.error);
  });
}

export const all_conversations = () =>
  run<Conversation[]>('conversations', 'readonly', (store) => store.getAll());
export const put_conversation = (conversation: Conversation) =>
  run('conversations', 'readwrite', (store) => store.put(conversation));
export const delete_conversation = (id: string) =>
  run('conversations', 'readwrite', (store) => store.delete(id));

export const all_speeds = () => run<Speed[]>('speeds', 'readonly', (store) => store.getAll(null, 5000));
export const add_speed = (speed: Speed) => run('speeds', 'readwrite', (store) => store.add(speed));
export const clear_speeds = () => run('speeds', 'readwrite', (store) => store.clear());

const MAX_MEDIA_BYTES = 40 << 20; // the server takes 64 MB of base64

export function media_kind(type: string): MediaRef['kind'] | null {
  if (/^image\/(?:png|jpeg|webp|gif|bmp)$/.test(type)) return 'image';
  return type.startsWith('video/') ? 'video' : null;
}

export async function add_media(file: File): Promise<MediaRef> {
  const kind = media_kind(file.type);
  if (!kind) throw new Error(`${file.name}: only pictures and clips can be attached`);
  if (file.size > MAX_MEDIA_BYTES) throw new Error(`${file.name} is larger than 40 MB`);
  // What the server cannot read (GIF, BMP, …) goes to it as PNG.
  const readable = kind === 'video' || /png|jpeg|webp/.test(file.type);
  const blob: Blob = readable ? file : await as_png(file);
  const thumbnail = kind === 'image' ? await image_thumbnail(blob) : await video_thumbnail(blob);
  const id = new_id();
  await run('media', 'readwrite', (store) => store.put({ id, blob } satisfies StoredMedia));
  return { id, kind, name: file.name || `pasted ${kind}`, thumbnail };
}

async function media_blob(id: string): Promise<Blob | null> {
  const found = await run<StoredMedia | undefined>('media', 'readonly', (store) => store.get(id));
  return found?.blob ?? null;
}

export async function media_object_url(id: string): Promise<string | null> {
  const blob = await media_blob(id);
  return blob && URL.createObjectURL(blob);
}

// As a data: URL, the form that the API takes.
export async function media_url(id: string): Promise<string | null> {
  const blob = await media_blob(id);
  if (!blob) return null;
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result as string);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}

// Forgets pictures and clips that no conversation shows any more.
export async function sweep_media(kept: Set<string>): Promise<void> {
  const ids = await run('media', 'readonly', (store) => store.getAllKeys());
  for (const id of ids) {
    if (!kept.has(String(id))) await run('media', 'readwrite', (store) => store.delete(id));
  }
}

async function as_png(file: Blob): Promise<Blob> {
  const bitmap = await createImageBitmap(file);
  const canvas = draw(bitmap, bitmap.width, bitmap.height, 1);
  return new Promise((resolve, reject) =>
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error('The picture cannot be read'))), 'image/png'),
  );
}

const THUMBNAIL = 320; // pixels of the longer side, for sharp screens

function draw(source: CanvasImageSource, width: number, height: number, scale: number): HTMLCanvasElement {
  const canvas = document.createElement('canvas');
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  canvas.getContext('2d')!.drawImage(source, 0, 0, canvas.width, canvas.height);
  return canvas;
}

async function image_thumbnail(blob: Blob): Promise<string> {
  const bitmap = await createImageBitmap(blob).catch(() => null);
  if (!bitmap) throw new Error('The picture cannot be read');
  const scale = Math.min(1, THUMBNAIL / Math.max(bitmap.width, bitmap.height));
  return draw(bitmap, bitmap.width, bitmap.height, scale).toDataURL('image/webp', 0.85);
}

// The first picture of a clip; empty if this browser cannot play it (the server may all the same).
async function video_thumbnail(blob: Blob): Promise<string> {
  const video = document.createElement('video');
  video.muted = true;
  video.preload = 'auto';
  const url = URL.createObjectURL(blob);
  try {
    await new Promise<void>((resolve, reject) => {
      video.onloadeddata = () => resolve();
      video.onerror = () => reject(new Error('unreadable'));
      setTimeout(() => reject(new Error('slow')), 4000);
      video.src = url;
    });
    const scale = Math.min(1, THUMBNAIL / Math.max(video.videoWidth, video.videoHeight));
    return draw(video, video.videoWidth, video.videoHeight, scale).toDataURL('image/webp', 0.85);
  } catch {
    return '';
  } finally {
    URL.revokeObjectURL(url);
  }
}
