import { expect, it } from 'vitest';
import { matches } from '../src/live/topics';

it.each([
  ['plugins/**', 'plugins/search/demo', true],
  ['plugins/*', 'plugins/search/demo', false],
  ['tasks/*', 'tasks/1', true],
  ['tasks/*', 'tasks', false],
  ['logs/search/demo', 'logs/search/demo', true],
  ['logs/search/demo', 'logs/search/other', false],
  ['stats', 'stats', true],
  ['**', 'anything/at/all', true],
] as const)('%s and %s: %s', (topic, subject, expected) => {
  expect(matches(topic, subject)).toBe(expected);
});
