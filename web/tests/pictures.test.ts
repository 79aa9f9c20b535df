import { describe, expect, it } from 'vitest';
import { Turns } from '../src/search/pictures';

describe('the turns of pictures', () => {
  it('are few at once, in order, and pass on when one is done or no longer wanted', () => {
    const begun: string[] = [];
    const turns = new Turns(2);
    const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((name) => turns.take(() => begun.push(name)));
    expect(begun).toEqual(['a', 'b']);
    c?.();
    a?.();
    expect(begun).toEqual(['a', 'b', 'd']);
    a?.();
    turns.take(() => begun.push('e'));
    expect(begun).toEqual(['a', 'b', 'd']);
    b?.();
    expect(begun).toEqual(['a', 'b', 'd', 'e']);
    d?.();
  });
});
