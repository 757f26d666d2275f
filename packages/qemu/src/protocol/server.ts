import { connect, type Socket } from 'node:net';
import { QtestCommands } from './commands.js';
import type { QtestTarget } from './target.js';

/** A session with a qtest client. */
export interface QtestServer {
  /** Resolves when the client has hung up or `close` was called; rejects when the connection failed or the target threw. */
  readonly closed: Promise<void>;
  close(): void;
}

/**
 * Serves a machine over qtest as QEMU does with `-qtest unix:PATH`: it connects to the socket on which the client listens.
 * Commands are answered in order; `target.beforeReply()` runs before replies leave.
 */
export function serveQtest(path: string, target: QtestTarget): QtestServer {
  const socket = connect(path);
  const closed = new Promise<void>((resolve, reject) => {
    let connected = false;
    socket.on('connect', () => (connected = true));
    socket.on('error', (error: NodeJS.ErrnoException) => {
      // A client that was killed hangs up like this.
      if (connected && (error.code === 'ECONNRESET' || error.code === 'EPIPE')) resolve();
      else reject(error);
    });
    socket.on('close', () => {
      resolve();
    });
    answerLines(socket, target);
  });
  return {
    closed,
    close: () => {
      socket.end();
    },
  };
}

function answerLines(socket: Socket, target: QtestTarget): void {
  const commands = new QtestCommands(target);
  let pending: string[] = []; // pieces of a line whose end is yet to come
  socket.setEncoding('latin1');
  socket.on('data', (chunk: string) => {
    if (!chunk.includes('\n')) return void pending.push(chunk);
    const lines = (pending.join('') + chunk).split('\n');
    pending = [lines.pop() as string];
    try {
      const replies = lines.map((line) => `${commands.answer(line)}\n`).join('');
      target.beforeReply();
      socket.write(replies, 'latin1');
    } catch (error) {
      socket.destroy(error as Error);
    }
  });
}
