/** The part of cli-progress that is used here; the package brings no types. */
declare module 'cli-progress' {
  export class SingleBar {
    constructor(options: {
      readonly format?: string;
      readonly stream?: NodeJS.WritableStream;
      readonly clearOnComplete?: boolean;
    });
    start(total: number, start: number): void;
    update(value: number): void;
    stop(): void;
  }
}
