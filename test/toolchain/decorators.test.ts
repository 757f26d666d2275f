import 'reflect-metadata';
import { container, inject, injectable } from 'tsyringe';
import { expect, it } from 'vitest';

// The test runner must emit decorator metadata as tsc does, or constructor injection by type silently breaks.
class Clock {
  readonly now = 7;
}

@injectable()
class Unit {
  constructor(
    readonly clock: Clock,
    @inject('width') readonly width: number,
  ) {}
}

it('emits the types of constructor parameters', () => {
  const noted: unknown[] = [];
  const note = (target: object) => void noted.push(Reflect.getMetadata('design:paramtypes', target));
  @note
  class Noted {
    constructor(
      readonly clock: Clock,
      readonly width: number,
    ) {}
  }
  expect(Noted.name).toBe('Noted');
  expect(noted).toEqual([[Clock, Number]]);
});

it('injects by type and by token', () => {
  const child = container.createChildContainer();
  child.registerInstance('width', 48);
  const unit = child.resolve(Unit);
  expect(unit.clock).toBeInstanceOf(Clock);
  expect([unit.clock.now, unit.width]).toEqual([7, 48]);
});
