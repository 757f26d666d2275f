/** `doorbell … | head` closes the pipe early: that ends us quietly, and is no error. */
export function withoutPipeErrors(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
      process.exit();
    });
  }
}

export const print = (line = ''): void => void process.stdout.write(line + '\n');

/** One line on stderr, whatever the message holds. */
export const complain = (message: string): void =>
  void process.stderr.write(`doorbell: ${message.replace(/\s*\n\s*/g, ' ')}\n`);
