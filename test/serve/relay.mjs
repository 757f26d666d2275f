// Joins a listening UNIX socket to a pair of FIFOs, so that a synchronous client can talk to whoever connects.
import { createReadStream, createWriteStream } from 'node:fs';
import { createServer } from 'node:net';

const [socketPath, fifo] = process.argv.slice(2);
const listener = createServer((socket) => {
  listener.close();
  socket.setNoDelay(true);
  createReadStream(`${fifo}.in`).pipe(socket);
  socket.pipe(createWriteStream(`${fifo}.out`));
  socket.on('error', () => process.exit(0));
  socket.on('close', () => process.exit(0));
});
listener.listen(socketPath, () => process.stdout.write('listening\n'));
