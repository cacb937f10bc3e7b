// Server-sent events: bytes in any pieces to the text of each event's data.
export class EventReader {
  private rest = '';
  private readonly decoder = new TextDecoder();

  // The events that became whole with these bytes.
  push(bytes: Uint8Array): string[] {
    this.rest += this.decoder.decode(bytes, { stream: true }).replace(/\r/g, '');
    const events = this.rest.split('\n\n');
    this.rest = events.pop()!;
    return events.map(data_of).filter((data) => data !== '');
  }
}

function data_of(event: string): string {
  return event
    .split('\n')
    .filter((line) => line.startsWith('data:'))
    .map((line) => line.slice(5).replace(/^ /, ''))
    .join('\n');
}
