import { describe, expect, it } from 'vitest';
import { definePlugin, Platform, type BlockDefinition } from '../src/index.js';

describe('software: false', () => {
  const made: string[] = [];
  const block: BlockDefinition = {
    compatible: ['both'],
    model: { create: () => (made.push('model'), {}) },
    driver: { create: () => (made.push('driver'), {}) },
  };
  const node = { name: 'n0', compatible: 'both' };

  it('makes models and no drivers; forks too', () => {
    const platform = new Platform({ software: false }).use(definePlugin('p', block, [node])).compose();
    expect(made).toEqual(['model']);
    expect(platform.model('n0')).toBeDefined();
    expect(platform.driver('n0')).toBeUndefined();
    expect(platform.fork().driver('n0')).toBeUndefined();
    platform.dispose();
  });

  it('is not the default', () => {
    made.length = 0;
    new Platform()
      .use(definePlugin('p', block, [node]))
      .compose()
      .dispose();
    expect(made).toEqual(['model', 'driver']);
  });
});
