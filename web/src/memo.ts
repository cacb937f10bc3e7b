// A component that is drawn again only if one of the named properties is another value.
import { Component, createElement, type FunctionComponent } from 'preact';

export function memo<P extends object>(
  inner: FunctionComponent<P>,
  properties: (keyof P)[],
): FunctionComponent<P> {
  class Memo extends Component<P> {
    override shouldComponentUpdate(next: P): boolean {
      const now: P = this.props;
      return properties.some((name) => now[name] !== next[name]);
    }
    override render() {
      return createElement(inner, this.props as P);
    }
  }
  return Memo as unknown as FunctionComponent<P>;
}
