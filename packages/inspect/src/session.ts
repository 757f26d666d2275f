import { statSync } from 'node:fs';
import type { CaptureContribution, DoorbellError, PhysicalMemory, Platform } from '@doorbell/platform';
import { openCapture } from './capture/open.js';

import type { Answer } from './explain/answer.js';
import { Inspector } from './explain/inspector.js';
import type { Question } from './explain/question.js';
import { asRefusal, restoreCapture, type Restored } from './platform.js';
import type { Requesters } from './requesters.js';
import { openSnapshot } from './snapshot/read.js';

/** A capture or snapshot that can be asked. */
export interface Session {
  readonly name: string;
  readonly platform: Platform;
  readonly restored: Restored;
  readonly requesters: Requesters;
  /** What is missing or damaged, one sentence each. */
  readonly problems: readonly string[];
  readonly memory: PhysicalMemory;
  readonly explain: (question: Question) => Answer;
}

/** Opens a capture directory or a snapshot file. Errors: `UNREADABLE_INPUT`, `WRONG_VERSION`, `CompositionError`. */
export async function openSession(path: string, contributions: readonly CaptureContribution[]): Promise<Session> {
  try {
    const input = isFile(path) ? openSnapshot(path) : await openCapture(path);
    const restored = 'file' in input ? await input.restore(contributions) : await restoreCapture(input, contributions);
    const { platform, unmodelled, incomplete, lost, described, unitProblems } = restored;
    const { requesters } = input;
    const lacks =
      'file' in input
        ? (at: number) => input.lacks(at)
        : (at: number) => input.missing.some((r) => at >= r.first && at <= r.last);
    const remedies = Object.assign({}, ...contributions.map((c) => c.remedies ?? {})) as Record<string, string>;
    const inspector = new Inspector(platform, {
      requesters,
      unmodelled,
      incomplete,
      lost,
      described,
      unitProblems,
      lacks,
      remedies,
    });
    const problems = [...input.problems, ...[...unitProblems.values()].flat()];
    return {
      name: path,
      platform,
      restored,
      requesters,
      problems,
      memory: platform.memoryModel,
      explain: (question) => inspector.explain(question),
    };
  } catch (error) {
    throw asRefusal(error) satisfies DoorbellError;
  }
}

const isFile = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isFile() === true;
