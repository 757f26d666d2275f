import { basename } from 'node:path';
import { readMachine } from '@doorbell/firmware';
import { EXIT } from '../exit.js';
import { problemWith, readInput } from '../inputs.js';
import { complain, print } from '../output.js';
import { renderTour } from '../report/tour.js';
import type { Backends } from '../run/backends.js';
import { asItShould, tourOf, type MachineTour } from '../run/tour.js';

/** `doorbell run --tour`. Returns the exit code: 0 where everything went as it should. */
export function tour(inputs: readonly string[], backends: Backends): number {
  const tours: MachineTour[] = [];
  for (const input of inputs) {
    try {
      tours.push(tourOf(basename(input.replace(/\/+$/, '')), readMachine(readInput(input)), backends));
    } catch (error) {
      complain(problemWith(input, error));
      return EXIT.usage;
    }
  }
  print(renderTour(tours));
  return tours.every(asItShould) ? EXIT.ok : EXIT.failure;
}
